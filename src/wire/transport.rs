use std::fmt;

/// The largest payload taken from a client, in bytes.
pub const MAX_PACKET: usize = 1 << 20;

pub(super) const QUICK_ACK: u32 = 0x8000_0000;
const SHORT_QUICK_ACK: u8 = 0x80;
const LONG_FORM: u8 = 0x7f;

/// How MTProto payloads are delimited inside an obfuscated stream
/// (`doc/protocol.md` §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Abridged,
    Intermediate,
    /// Intermediate with 0–15 random bytes behind the payload.
    Padded,
}

/// What stands before one payload. All lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// 1 or 4.
    pub header_len: usize,
    /// What follows the header: payload and padding.
    pub body_len: usize,
    /// A multiple of 4, at least 4, at most [`MAX_PACKET`].
    pub payload_len: usize,
    /// The client wants to be told as soon as the DC has the packet.
    pub quick_ack: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    Empty,
    Unaligned(usize),
    TooLong(usize),
}

impl Transport {
    /// Reads the header of the next packet; `None` asks for more bytes, of
    /// which 4 always suffice.
    pub fn parse_header(self, bytes: &[u8]) -> Result<Option<PacketHeader>, TransportError> {
        let Some((header_len, body_len, quick_ack)) = self.read_length(bytes) else {
            return Ok(None);
        };
        let padding = body_len % 4;
        let payload_len = body_len - padding;
        if padding != 0 && self != Self::Padded {
            Err(TransportError::Unaligned(body_len))
        } else if payload_len == 0 {
            Err(TransportError::Empty)
        } else if payload_len > MAX_PACKET {
            Err(TransportError::TooLong(payload_len))
        } else {
            Ok(Some(PacketHeader {
                header_len,
                body_len,
                payload_len,
                quick_ack,
            }))
        }
    }

    fn read_length(self, bytes: &[u8]) -> Option<(usize, usize, bool)> {
        if self != Self::Abridged {
            let word = u32::from_le_bytes(*bytes.first_chunk()?);
            let len = (word & !QUICK_ACK) as usize;
            return Some((4, len, word & QUICK_ACK != 0));
        }
        let first = *bytes.first()?;
        let quick_ack = first & SHORT_QUICK_ACK != 0;
        let words = first & !SHORT_QUICK_ACK;
        if words != LONG_FORM {
            return Some((1, usize::from(words) * 4, quick_ack));
        }
        let long = u32::from_le_bytes(*bytes.first_chunk()?) >> 8;
        Some((4, long as usize * 4, quick_ack))
    }

    /// What precedes a payload to a client. `payload_len` is a multiple of 4
    /// below 64 MiB; `padding` is 0 except for [`Transport::Padded`].
    pub fn write_header(self, payload_len: usize, padding: usize) -> heapless::Vec<u8, 4, u8> {
        if self != Self::Abridged {
            return ((payload_len + padding) as u32).to_le_bytes().into();
        }
        let words = (payload_len / 4) as u32;
        if words < u32::from(LONG_FORM) {
            [words as u8].into()
        } else {
            (words << 8 | u32::from(LONG_FORM)).to_le_bytes().into()
        }
    }

    /// The token of a middle proxy's RPC_SIMPLE_ACK as the client expects it.
    pub fn quick_ack(self, mut token: [u8; 4]) -> [u8; 4] {
        if self == Self::Abridged {
            token.reverse();
        }
        token
    }

    /// The 4 bytes that announce this transport in an obfuscated header.
    pub fn tag(self) -> [u8; 4] {
        match self {
            Self::Abridged => [0xef; 4],
            Self::Intermediate => [0xee; 4],
            Self::Padded => [0xdd; 4],
        }
    }

    pub fn from_tag(tag: [u8; 4]) -> Option<Self> {
        [Self::Abridged, Self::Intermediate, Self::Padded]
            .into_iter()
            .find(|transport| transport.tag() == tag)
    }

    /// Its bits in the flags of RPC_PROXY_REQ (`doc/protocol.md` §4).
    pub fn rpc_flags(self) -> u32 {
        match self {
            Self::Abridged => 0x4000_0000,
            Self::Intermediate => 0x2000_0000,
            Self::Padded => 0x2800_0000,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "client sent a packet without payload"),
            Self::Unaligned(len) => {
                write!(
                    f,
                    "client sent a packet of {len} bytes, not a multiple of 4"
                )
            }
            Self::TooLong(len) => write!(
                f,
                "client sent a packet of {len} bytes, more than the {MAX_PACKET} accepted"
            ),
        }
    }
}

impl std::error::Error for TransportError {}

#[cfg(test)]
mod tests {
    use super::*;
    use Transport::*;

    fn header(header_len: usize, body_len: usize, quick_ack: bool) -> Option<PacketHeader> {
        Some(PacketHeader {
            header_len,
            body_len,
            payload_len: body_len - body_len % 4,
            quick_ack,
        })
    }

    #[test]
    fn reads_each_form_and_asks_for_what_is_missing() {
        let cases: [(Transport, &[u8], Option<PacketHeader>); 7] = [
            (Abridged, &[0x02], header(1, 8, false)),
            (Abridged, &[0x82], header(1, 8, true)),
            (Abridged, &[0x7f, 0, 1, 0], header(4, 1024, false)),
            (Abridged, &[0xff, 0, 1, 0], header(4, 1024, true)),
            (Intermediate, &[8, 0, 0, 0], header(4, 8, false)),
            (Intermediate, &[8, 0, 0, 0x80], header(4, 8, true)),
            (Padded, &[11, 0, 0, 0], header(4, 11, false)),
        ];
        for (transport, bytes, expected) in cases {
            assert_eq!(transport.parse_header(bytes), Ok(expected));
            for short in 0..bytes.len() {
                assert_eq!(transport.parse_header(&bytes[..short]), Ok(None));
            }
        }
    }

    #[test]
    fn refuses_what_no_client_sends() {
        use TransportError::*;
        assert_eq!(Abridged.parse_header(&[0]), Err(Empty));
        assert_eq!(Padded.parse_header(&[3, 0, 0, 0]), Err(Empty));
        assert_eq!(Intermediate.parse_header(&[9, 0, 0, 0]), Err(Unaligned(9)));
        assert_eq!(
            Intermediate.parse_header(&[4, 0, 0x10, 0]),
            Err(TooLong(MAX_PACKET + 4))
        );
        assert!(Intermediate.parse_header(&[0, 0, 0x10, 0]).is_ok());
        assert_eq!(
            Abridged.parse_header(&[0x7f, 1, 0, 4]),
            Err(TooLong(MAX_PACKET + 4))
        );
    }

    #[test]
    fn written_headers_read_back() {
        for transport in [Abridged, Intermediate, Padded] {
            for payload_len in [4, 0x7e * 4, 0x7f * 4, 0x80 * 4, MAX_PACKET] {
                let padding = if transport == Padded { 3 } else { 0 };
                let bytes = transport.write_header(payload_len, padding);
                let read = transport.parse_header(&bytes).unwrap().unwrap();
                assert_eq!(read.header_len, bytes.len());
                assert_eq!(read.payload_len, payload_len);
                assert_eq!(read.body_len, payload_len + padding);
            }
        }
    }

    #[test]
    fn tags_and_acknowledgements() {
        for transport in [Abridged, Intermediate, Padded] {
            assert_eq!(Transport::from_tag(transport.tag()), Some(transport));
        }
        assert_eq!(Transport::from_tag([0xef, 0xef, 0xef, 0xee]), None);
        assert_eq!(Abridged.quick_ack([1, 2, 3, 4]), [4, 3, 2, 1]);
        assert_eq!(Padded.quick_ack([1, 2, 3, 4]), [1, 2, 3, 4]);
    }
}
