//! What the tests ask the fake DCs to do, inside MTProto-shaped payloads.
//!
//! A payload whose first 8 bytes (an MTProto auth key id) are [`COMMAND_KEY`]
//! is a command: `u32 opcode, u32 a, u32 b`, little endian, then filler. A
//! payload that starts with 8 zero bytes is unencrypted MTProto and gets the
//! answer that real clients need. Everything else is echoed.

use std::sync::OnceLock;
use std::time::Duration;

use crate::crypto::{random, sha256, unix_time};

pub const COMMAND_KEY: [u8; 8] = *b"FAKE-TG!";

/// Bytes in a command without filler, and in front of an answer's filler.
pub const COMMAND_LEN: usize = 20;

/// MTProto's answer to a message that nobody understands.
pub const ERROR_404: [u8; 4] = (-404i32).to_le_bytes();

/// `req_pq_multi#be7e8ef1 nonce:int128 = ResPQ`
const REQ_PQ_MULTI: u32 = 0xbe7e_8ef1;
/// `resPQ#05162463 nonce server_nonce pq:bytes fingerprints:Vector<long>`
const RES_PQ: u32 = 0x0516_2463;
const VECTOR: u32 = 0x1cb5_c415;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answers of `size` bytes until `total` bytes have been sent.
    SendMe { total: u32, size: u32 },
    /// The payload itself after `millis`.
    EchoLater { millis: u32 },
    /// Nothing.
    Ignore,
    /// The payload itself, then the end of the session.
    EchoAndClose,
    /// The end of the session without an answer.
    Close,
    /// The 4-byte error −404.
    NotFound,
    /// A short answer whatever the payload's length: for upload measurements.
    Swallow,
}

impl Command {
    fn words(self) -> [u32; 3] {
        match self {
            Self::SendMe { total, size } => [1, total, size],
            Self::EchoLater { millis } => [2, millis, 0],
            Self::Ignore => [3, 0, 0],
            Self::EchoAndClose => [4, 0, 0],
            Self::Close => [5, 0, 0],
            Self::NotFound => [6, 0, 0],
            Self::Swallow => [7, 0, 0],
        }
    }

    fn from_words([opcode, a, b]: [u32; 3]) -> Option<Self> {
        Some(match opcode {
            1 => Self::SendMe { total: a, size: b },
            2 => Self::EchoLater { millis: a },
            3 => Self::Ignore,
            4 => Self::EchoAndClose,
            5 => Self::Close,
            6 => Self::NotFound,
            7 => Self::Swallow,
            _ => return None,
        })
    }

    /// The command as a payload of [`COMMAND_LEN`] bytes.
    pub fn payload(self) -> Vec<u8> {
        self.payload_of(COMMAND_LEN)
    }

    /// The command as a payload of `len` bytes, a multiple of 4.
    pub fn payload_of(self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&COMMAND_KEY);
        for word in self.words() {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(filler(len.saturating_sub(COMMAND_LEN)));
        out
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (key, rest) = payload.split_first_chunk::<8>()?;
        let words = rest.first_chunk::<12>()?;
        if *key != COMMAND_KEY {
            return None;
        }
        let word = |at: usize| {
            u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
        };
        Self::from_words([word(0), word(4), word(8)])
    }
}

/// What a DC does about one payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    Answer(Vec<u8>),
    Stream { total: usize, size: usize },
    AnswerLater(Duration, Vec<u8>),
    Nothing,
    AnswerAndClose(Vec<u8>),
    Close,
}

pub fn react(payload: Vec<u8>) -> Reaction {
    if payload.starts_with(&[0; 8]) {
        return match answer_unencrypted(&payload) {
            Some(answer) => Reaction::Answer(answer),
            None => Reaction::Answer(payload),
        };
    }
    match Command::parse(&payload) {
        None => Reaction::Answer(payload),
        Some(Command::SendMe { total, size }) => Reaction::Stream {
            total: total as usize,
            size: (size as usize / 4 * 4).max(COMMAND_LEN),
        },
        Some(Command::EchoLater { millis }) => {
            Reaction::AnswerLater(Duration::from_millis(millis.into()), payload)
        }
        Some(Command::Ignore) => Reaction::Nothing,
        Some(Command::EchoAndClose) => Reaction::AnswerAndClose(payload),
        Some(Command::Close) => Reaction::Close,
        Some(Command::NotFound) => Reaction::Answer(ERROR_404.to_vec()),
        Some(Command::Swallow) => Reaction::Answer(payload[..COMMAND_LEN].to_vec()),
    }
}

/// The answer number `index` of [`Command::SendMe`], `size` bytes.
pub fn streamed(index: u32, size: usize) -> Vec<u8> {
    let mut out = Command::SendMe {
        total: index,
        size: size as u32,
    }
    .payload();
    out.extend_from_slice(filler(size - COMMAND_LEN));
    out
}

/// The token that a DC sends when a quick-ack of `payload` is wanted; its top
/// bit (last byte on the wire) is set, as clients expect.
pub fn quick_ack_token(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[payload]);
    [a, b, c, d | 0x80]
}

/// A payload of `len` bytes (a multiple of 4, at least 8) that is echoed;
/// `label` makes it different from others.
pub fn echo(label: u32, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&[0x45; 4]);
    out.extend_from_slice(&label.to_le_bytes());
    out.extend_from_slice(filler(len.saturating_sub(8)));
    out.truncate(len);
    out
}

/// `req_pq_multi` with the given nonce, as a client sends it first.
pub fn req_pq_multi(nonce: [u8; 16]) -> Vec<u8> {
    let mut body = REQ_PQ_MULTI.to_le_bytes().to_vec();
    body.extend_from_slice(&nonce);
    unencrypted(u64::from(unix_time()) << 32, &body)
}

fn answer_unencrypted(payload: &[u8]) -> Option<Vec<u8>> {
    // auth_key_id 8, message id 8, length 4, then the body.
    let body = payload.get(20..)?;
    let nonce = body
        .strip_prefix(&REQ_PQ_MULTI.to_le_bytes())?
        .first_chunk::<16>()?;
    let mut answer = RES_PQ.to_le_bytes().to_vec();
    answer.extend_from_slice(nonce);
    answer.extend_from_slice(&random::<16>());
    answer.extend_from_slice(&[8]);
    answer.extend_from_slice(&0x17ed_4894_1a08_f981u64.to_be_bytes());
    answer.extend_from_slice(&[0; 3]);
    answer.extend_from_slice(&VECTOR.to_le_bytes());
    answer.extend_from_slice(&1u32.to_le_bytes());
    answer.extend_from_slice(&0xd09d_1d85_de64_fd85u64.to_le_bytes());
    // Ids of a server's answers are 1 modulo 4.
    Some(unencrypted(u64::from(unix_time()) << 32 | 1, &answer))
}

fn unencrypted(message_id: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.extend_from_slice(&message_id.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// The first `len` bytes of one fixed noise, at most 16 MiB.
fn filler(len: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        (0..(16usize << 20) / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect()
    });
    &noise[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn req_pq_multi_gets_its_nonce_back() {
        let Reaction::Answer(answer) = react(req_pq_multi([7; 16])) else {
            panic!("an answer");
        };
        assert!(answer.len().is_multiple_of(4));
        assert_eq!(answer[8] & 3, 1);
        assert_eq!(answer[16..20], 64u32.to_le_bytes());
        assert_eq!(answer.len(), 20 + 64);
        assert_eq!(answer[20..24], RES_PQ.to_le_bytes());
        assert_eq!(answer[24..40], [7; 16]);
    }

    #[test]
    fn commands_survive_the_wire() {
        let command = Command::SendMe {
            total: 100,
            size: 22,
        };
        assert_eq!(Command::parse(&command.payload_of(64)), Some(command));
        let expected = Reaction::Stream {
            total: 100,
            size: 20,
        };
        assert_eq!(react(command.payload()), expected);
        assert_eq!(react(echo(1, 64)), Reaction::Answer(echo(1, 64)));
    }
}
