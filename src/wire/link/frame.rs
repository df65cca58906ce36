use super::hello::{Hello, PROOF_LEN};
use super::open::Open;
use super::{HEADER_LEN, LinkError, MAX_CONTROL};
use crate::bytes::Reader;

/// The bytes of a frame that is not data.
pub type Encoded = heapless::Vec<u8, { HEADER_LEN + MAX_CONTROL }>;

pub(super) const DATA: u8 = 4;

/// A frame that comes whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first one each way.
    Hello(Hello),
    /// Proves that its sender has the key: [`super::proof`].
    Proof([u8; PROOF_LEN]),
    /// Front → back: a new stream, whose number is free on both sides.
    Open {
        stream: u32,
        open: Box<Open>,
    },
    /// The other side may send so many more bytes of this stream.
    Credit {
        stream: u32,
        bytes: u32,
    },
    /// Back → front: Telegram's token for a packet.
    QuickAck {
        stream: u32,
        token: [u8; 4],
    },
    /// Nothing more comes of this stream. Each side says it once; when both
    /// have, the number is free again.
    End {
        stream: u32,
        reason: EndReason,
    },
    /// To be answered at once with a pong of the same number.
    Ping(u64),
    Pong(u64),
    /// The sender closes the link.
    Close(Refusal),
    /// Back → front, if its hello says that it takes this: whether middle proxies are
    /// reached is another thing now than was said last.
    Middle {
        is_reached: bool,
    },
}

/// Declares an enum with a byte for each variant.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Why a stream ended.
    EndReason {
        /// The only one that a front gives.
        ClientLeft = 0
        ClosedByTelegram = 1
        MidSend = 2
        MidAnswer = 3
        NoConnection = 4
        TooSlow = 5
        Shutdown = 6
        MiddleUnavailable = 16
        DirectUnavailable = 17
        UnknownDc = 18
    }
}

codes! {
    /// Why a link is closed, for the log of the other side.
    Refusal {
        Shutdown = 0
        Version = 1
        /// Both are fronts, or both are backs.
        Role = 2
        /// One side has a key and the other has none.
        KeyMissing = 3
        WrongKey = 4
        TooMany = 5
        Protocol = 6
        CreditOverrun = 7
    }
}

/// What stands before `len` bytes of a stream.
pub fn data_header(stream: u32, len: usize) -> [u8; HEADER_LEN] {
    header(DATA, stream, len)
}

fn header(kind: u8, stream: u32, body: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = (5 + body as u32).to_be_bytes();
    let [e, f, g, h] = stream.to_be_bytes();
    [a, b, c, d, kind, e, f, g, h]
}

impl Frame {
    pub fn encode(&self) -> Encoded {
        let mut out = Encoded::new();
        // Every body below is shorter than the room for it.
        let mut put = |kind, stream, body: &[u8]| {
            let _ = out.extend_from_slice(&header(kind, stream, body.len()));
            let _ = out.extend_from_slice(body);
        };
        match self {
            Self::Hello(hello) => put(1, 0, &hello.encode()),
            Self::Proof(proof) => put(2, 0, proof),
            Self::Open { stream, open } => put(3, *stream, &open.encode()),
            Self::Credit { stream, bytes } => put(5, *stream, &bytes.to_be_bytes()),
            Self::QuickAck { stream, token } => put(6, *stream, token),
            Self::End { stream, reason } => put(7, *stream, &[*reason as u8]),
            Self::Ping(number) => put(8, 0, &number.to_be_bytes()),
            Self::Pong(number) => put(9, 0, &number.to_be_bytes()),
            Self::Close(refusal) => put(10, 0, &[*refusal as u8]),
            Self::Middle { is_reached } => put(11, 0, &[u8::from(*is_reached)]),
        }
        out
    }

    pub(super) fn parse(kind: u8, stream: u32, body: &[u8]) -> Result<Self, LinkError> {
        if kind == 1 {
            return Hello::parse(body).map(Self::Hello);
        }
        if !(2..=11).contains(&kind) || kind == DATA {
            return Err(LinkError::Type(kind));
        }
        Self::parse_rest(kind, stream, body).ok_or(LinkError::Body(kind))
    }

    fn parse_rest(kind: u8, stream: u32, body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let frame = match kind {
            2 => Self::Proof(reader.array()?),
            3 => Self::Open {
                stream,
                open: Box::new(Open::parse(&mut reader)?),
            },
            5 => Self::Credit {
                stream,
                bytes: reader.array().map(u32::from_be_bytes)?,
            },
            6 => Self::QuickAck {
                stream,
                token: reader.array()?,
            },
            7 => Self::End {
                stream,
                reason: EndReason::from_code(reader.array::<1>()?[0])?,
            },
            8 => Self::Ping(reader.array().map(u64::from_be_bytes)?),
            9 => Self::Pong(reader.array().map(u64::from_be_bytes)?),
            10 => Self::Close(Refusal::from_code(reader.array::<1>()?[0])?),
            _ => Self::Middle {
                is_reached: match reader.array()? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
            },
        };
        reader.is_empty().then_some(frame)
    }
}
