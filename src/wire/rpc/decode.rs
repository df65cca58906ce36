use std::fmt;

use smol_mtproxy_ciphers::ChecksumKind;

use super::{
    CLOSE_EXT, HANDSHAKE, HANDSHAKE_ERROR, HandshakeFrame, NONCE, NonceFrame, PING, PONG,
    PROXY_ANS, SIMPLE_ACK,
};
use crate::bytes::{Gather, Reader};
use crate::full::{FrameDecoder, FrameError, FramePart};

/// Bytes of the longest fixed-size message.
const MAX_FIXED: usize = 32;
/// Bytes of RPC_PROXY_ANS before its payload: tag, flags, conn_id.
const ANSWER_HEADER: usize = 16;

/// Takes a middle proxy's messages apart as their bytes arrive, in place:
/// payloads for clients are handed on as they come, all else is given once
/// its frame proved whole.
#[derive(Default)]
pub struct RpcDecoder {
    frames: FrameDecoder,
    body_len: usize,
    fixed: Gather<MAX_FIXED>,
    in_answer: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum RpcEvent<'a> {
    Nonce(NonceFrame),
    Handshake(HandshakeFrame),
    HandshakeError(i32),
    /// `len` bytes of payload for a client follow as [`RpcEvent::AnswerBytes`].
    AnswerStart {
        conn_id: i64,
        flags: u32,
        len: usize,
    },
    AnswerBytes(&'a mut [u8]),
    /// The payload is complete and its checksum right.
    AnswerEnd,
    CloseExt {
        conn_id: i64,
    },
    SimpleAck {
        conn_id: i64,
        token: [u8; 4],
    },
    Ping {
        id: i64,
    },
    Pong {
        id: i64,
    },
    Unknown {
        tag: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcError {
    Frame(FrameError),
    /// A message too short for its own fields.
    Short {
        tag: u32,
    },
}

impl RpcDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Which checksum the frames that have not begun yet carry.
    pub fn set_checksum(&mut self, kind: ChecksumKind) {
        self.frames.set_checksum(kind);
    }

    /// Takes the next event off the front of `input`; `None`: it is used up.
    /// After an error the connection is of no use.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<RpcEvent<'a>>, RpcError> {
        while let Some(part) = self.frames.next_up_to(input, self.part_limit())? {
            let event = match part {
                FramePart::Start { body_len } => self.start(body_len),
                FramePart::Body(part) if self.in_answer => Some(RpcEvent::AnswerBytes(part)),
                FramePart::Body(part) => self.collect(part),
                FramePart::End if self.in_answer => Some(RpcEvent::AnswerEnd),
                FramePart::End => Some(parse_fixed(self.fixed.bytes())?),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Stops a part where the payload of an answer would begin.
    fn part_limit(&self) -> usize {
        match self.fixed.missing(ANSWER_HEADER) {
            0 => usize::MAX,
            missing => missing,
        }
    }

    fn start(&mut self, body_len: usize) -> Option<RpcEvent<'static>> {
        self.body_len = body_len;
        self.fixed.clear();
        self.in_answer = false;
        None
    }

    fn collect(&mut self, part: &[u8]) -> Option<RpcEvent<'static>> {
        self.fixed.push(part);
        let mut fields = Reader(self.fixed.bytes());
        if fields.u32_le()? != PROXY_ANS {
            return None;
        }
        let (flags, conn_id) = (fields.u32_le()?, fields.i64_le()?);
        self.in_answer = true;
        Some(RpcEvent::AnswerStart {
            conn_id,
            flags,
            len: self.body_len - ANSWER_HEADER,
        })
    }
}

fn parse_fixed(body: &[u8]) -> Result<RpcEvent<'static>, RpcError> {
    let mut fields = Reader(body);
    let tag = fields.u32_le().ok_or(RpcError::Short { tag: 0 })?;
    match tag {
        NONCE => nonce(&mut fields),
        HANDSHAKE => handshake(&mut fields),
        HANDSHAKE_ERROR => Some(RpcEvent::HandshakeError(fields.i32_le().unwrap_or(0))),
        CLOSE_EXT => fields
            .i64_le()
            .map(|conn_id| RpcEvent::CloseExt { conn_id }),
        SIMPLE_ACK => simple_ack(&mut fields),
        PING => fields.i64_le().map(|id| RpcEvent::Ping { id }),
        PONG => fields.i64_le().map(|id| RpcEvent::Pong { id }),
        // One with all its fields never comes here.
        PROXY_ANS => None,
        tag => Some(RpcEvent::Unknown { tag }),
    }
    .ok_or(RpcError::Short { tag })
}

fn nonce(fields: &mut Reader<'_>) -> Option<RpcEvent<'static>> {
    Some(RpcEvent::Nonce(NonceFrame {
        key_selector: fields.array()?,
        schema: fields.u32_le()?,
        time: fields.u32_le()?,
        nonce: fields.array()?,
    }))
}

fn handshake(fields: &mut Reader<'_>) -> Option<RpcEvent<'static>> {
    Some(RpcEvent::Handshake(HandshakeFrame {
        flags: fields.u32_le()?,
        sender_pid: fields.array()?,
        peer_pid: fields.array()?,
    }))
}

fn simple_ack(fields: &mut Reader<'_>) -> Option<RpcEvent<'static>> {
    Some(RpcEvent::SimpleAck {
        conn_id: fields.i64_le()?,
        token: fields.array()?,
    })
}

impl From<FrameError> for RpcError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Short { tag } => {
                let tag = tag.swap_bytes();
                write!(f, "middle proxy sent a message {tag:08x} that lacks fields")
            }
        }
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE;

    use super::*;
    use crate::full::{FrameEncoder, block_padding};
    use crate::rpc::FLAG_CRC32C;

    #[derive(Debug, PartialEq)]
    enum Seen {
        Event(String),
        Answer(i64, u32, usize, Vec<u8>),
    }

    fn frames(bodies: &[&str]) -> Vec<u8> {
        let (mut encoder, mut out) = (FrameEncoder::new(), Vec::new());
        for body in bodies {
            let body = HEXLOWER_PERMISSIVE.decode(body.as_bytes()).unwrap();
            encoder.encode_into(&mut out, &[&body]);
            out.extend_from_slice(block_padding(out.len()));
        }
        out
    }

    fn decode(pieces: &mut [&mut [u8]]) -> Result<Vec<Seen>, RpcError> {
        let mut decoder = RpcDecoder::new();
        let mut seen = Vec::new();
        let mut answer = None;
        for mut piece in pieces.iter_mut().map(|piece| &mut **piece) {
            while let Some(event) = decoder.next(&mut piece)? {
                match event {
                    RpcEvent::AnswerStart {
                        conn_id,
                        flags,
                        len,
                    } => answer = Some((conn_id, flags, len, Vec::new())),
                    RpcEvent::AnswerBytes(part) => {
                        answer.as_mut().unwrap().3.extend_from_slice(part);
                    }
                    RpcEvent::AnswerEnd => {
                        let (conn_id, flags, len, bytes) = answer.take().unwrap();
                        seen.push(Seen::Answer(conn_id, flags, len, bytes));
                    }
                    event => seen.push(Seen::Event(format!("{event:?}"))),
                }
            }
        }
        Ok(seen)
    }

    #[test]
    fn every_message_at_every_split() {
        let bodies = [
            "aa87cb7ac4f9faca010000000102030400000000000000000000000000000007",
            "f5ee827600080000495049505052504454494d45495049505052504454494d45",
            "dabe276afbffffff",
            "0dda0344010000000200000000000000aabbccdd11223344",
            "0dda0344000000000300000000000000",
            "a234b65e0400000000000080",
            "9b40ac3b050000000000000001020384",
            "dfa230570600000000000000",
            "a7ea30840700000000000000ffffffff",
            "01020304aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let event = |event: RpcEvent<'_>| Seen::Event(format!("{event:?}"));
        let mut nonce = [0; 16];
        nonce[15] = 7;
        let expected = [
            event(RpcEvent::Nonce(NonceFrame {
                key_selector: [0xc4, 0xf9, 0xfa, 0xca],
                schema: 1,
                time: 0x0403_0201,
                nonce,
            })),
            event(RpcEvent::Handshake(HandshakeFrame {
                flags: FLAG_CRC32C,
                sender_pid: *b"IPIPPRPDTIME",
                peer_pid: *b"IPIPPRPDTIME",
            })),
            event(RpcEvent::HandshakeError(-5)),
            Seen::Answer(
                2,
                1,
                8,
                vec![0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44],
            ),
            Seen::Answer(3, 0, 0, vec![]),
            event(RpcEvent::CloseExt {
                conn_id: i64::MIN + 4,
            }),
            event(RpcEvent::SimpleAck {
                conn_id: 5,
                token: [1, 2, 3, 0x84],
            }),
            event(RpcEvent::Ping { id: 6 }),
            event(RpcEvent::Pong { id: 7 }),
            event(RpcEvent::Unknown { tag: 0x0403_0201 }),
        ];
        let mut bytes = frames(&bodies);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at_mut(cut);
            assert_eq!(decode(&mut [head, tail]).unwrap(), expected, "cut at {cut}");
        }
        let mut singles: Vec<_> = bytes.chunks_mut(1).collect();
        assert_eq!(decode(&mut singles).unwrap(), expected);
    }

    #[test]
    fn messages_without_their_fields_are_refused() {
        for (body, tag) in [
            ("", 0),
            ("0dda0344000000000300", PROXY_ANS),
            ("a234b65e04000000", CLOSE_EXT),
            ("dfa23057", PING),
            ("aa87cb7a00000000", NONCE),
        ] {
            let body = format!("{body:0<0$}", body.len().next_multiple_of(8));
            let decoded = decode(&mut [&mut frames(&[&body])]);
            assert_eq!(decoded, Err(RpcError::Short { tag }));
        }
    }

    #[test]
    fn nothing_but_answer_bytes_comes_before_the_checksum_is_checked() {
        let mut bytes = frames(&["a234b65e0400000000000000"]);
        let len = 24;
        bytes[len - 1] ^= 1;
        assert_eq!(
            decode(&mut [&mut bytes[..len]]),
            Err(RpcError::Frame(FrameError::Checksum))
        );
        assert_eq!(decode(&mut [&mut bytes[..len - 1]]), Ok(vec![]));
    }
}
