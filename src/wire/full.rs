//! The frames of a middle-proxy connection (`doc/protocol.md` §4):
//! u32 LE length of the whole frame, i32 LE sequence number, body, u32 LE
//! checksum of all before it. Words `04000000` may stand between frames.

use std::fmt;

use smol_mtproxy_ciphers::{Checksum, ChecksumKind};

use super::bytes::{Gather, take_up_to};

/// Fills the space between two frames up to a cipher block.
pub const PAD_WORD: [u8; 4] = [4, 0, 0, 0];

/// Sequence number of the first frame of each direction.
pub const FIRST_SEQ: i32 = -2;

/// Bytes of a frame that are not its body.
pub const OVERHEAD: usize = 12;

const MAX_FRAME: u32 = 1 << 24;

/// Takes frames apart as their bytes arrive, in place, storing no body.
pub struct FrameDecoder {
    kind: ChecksumKind,
    seq: i32,
    state: State,
    head: Gather<4>,
    checksum: Checksum,
}

enum State {
    Length,
    Sequence { body_len: usize },
    Body { left: usize },
    Checksum,
}

/// One step through a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum FramePart<'a> {
    Start {
        body_len: usize,
    },
    Body(&'a mut [u8]),
    /// Length, sequence number and checksum of the frame were right.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    Length(u32),
    Sequence { expected: i32, got: i32 },
    Checksum,
}

impl FrameDecoder {
    pub fn new() -> Self {
        let kind = ChecksumKind::Crc32;
        Self {
            kind,
            seq: FIRST_SEQ,
            state: State::Length,
            head: Gather::default(),
            checksum: Checksum::new(kind),
        }
    }

    /// Which checksum the frames that have not begun yet carry.
    pub fn set_checksum(&mut self, kind: ChecksumKind) {
        self.kind = kind;
    }

    /// Takes the next part off the front of `input`; `None`: it is used up.
    /// After an error the stream makes no sense any more.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<FramePart<'a>>, FrameError> {
        self.next_up_to(input, usize::MAX)
    }

    /// As [`next`](Self::next), a part of a body being at most `limit` bytes.
    pub fn next_up_to<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limit: usize,
    ) -> Result<Option<FramePart<'a>>, FrameError> {
        while !input.is_empty() {
            if let State::Body { left } = &mut self.state {
                let part = take_up_to(input, limit.min(*left));
                self.checksum.update(part);
                *left -= part.len();
                if *left == 0 {
                    self.state = State::Checksum;
                }
                return Ok(Some(FramePart::Body(part)));
            }
            let Some(word) = self.head.fill(input) else {
                return Ok(None);
            };
            if let Some(part) = self.take_word(word)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    fn take_word(&mut self, word: [u8; 4]) -> Result<Option<FramePart<'static>>, FrameError> {
        match self.state {
            State::Length if word == PAD_WORD => Ok(None),
            State::Length => {
                let body_len = body_len(u32::from_le_bytes(word))?;
                self.checksum = Checksum::new(self.kind);
                self.checksum.update(&word);
                self.state = State::Sequence { body_len };
                Ok(None)
            }
            State::Sequence { body_len } => {
                self.check_sequence(i32::from_le_bytes(word))?;
                self.checksum.update(&word);
                self.state = match body_len {
                    0 => State::Checksum,
                    left => State::Body { left },
                };
                Ok(Some(FramePart::Start { body_len }))
            }
            State::Body { .. } => Ok(None),
            State::Checksum => {
                let computed = self.checksum.clone().finish();
                self.state = State::Length;
                if computed != u32::from_le_bytes(word) {
                    return Err(FrameError::Checksum);
                }
                Ok(Some(FramePart::End))
            }
        }
    }

    fn check_sequence(&mut self, got: i32) -> Result<(), FrameError> {
        let expected = self.seq;
        self.seq = expected.wrapping_add(1);
        if got == expected {
            Ok(())
        } else {
            Err(FrameError::Sequence { expected, got })
        }
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

fn body_len(frame_len: u32) -> Result<usize, FrameError> {
    let valid = frame_len.is_multiple_of(4) && (OVERHEAD as u32..=MAX_FRAME).contains(&frame_len);
    if valid {
        Ok(frame_len as usize - OVERHEAD)
    } else {
        Err(FrameError::Length(frame_len))
    }
}

/// Puts frames together: numbers them and closes them with a checksum.
pub struct FrameEncoder {
    kind: ChecksumKind,
    seq: i32,
}

impl FrameEncoder {
    pub fn new() -> Self {
        Self {
            kind: ChecksumKind::Crc32,
            seq: FIRST_SEQ,
        }
    }

    pub fn set_checksum(&mut self, kind: ChecksumKind) {
        self.kind = kind;
    }

    /// Appends to `out` a frame around the parts of its body, together a
    /// multiple of 4 bytes, and returns the frame's length.
    pub fn encode_into(&mut self, out: &mut Vec<u8>, parts: &[&[u8]]) -> usize {
        let body_len = parts.iter().map(|part| part.len()).sum();
        let prefix = frame_prefix(body_len, self.seq);
        self.seq = self.seq.wrapping_add(1);
        let mut checksum = Checksum::new(self.kind);
        for part in [prefix.as_slice()].iter().chain(parts) {
            checksum.update(part);
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&checksum.finish().to_le_bytes());
        body_len + OVERHEAD
    }
}

impl Default for FrameEncoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Length and sequence number, as a frame begins.
pub fn frame_prefix(body_len: usize, seq: i32) -> [u8; 8] {
    let [a, b, c, d] = ((body_len + OVERHEAD) as u32).to_le_bytes();
    let [e, f, g, h] = seq.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The pad words that bring `len` bytes, a multiple of 4, up to whole cipher
/// blocks.
pub fn block_padding(len: usize) -> &'static [u8] {
    const WORDS: &[u8] = &[4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0];
    let missing = len.wrapping_neg() % 16;
    WORDS.get(..missing).unwrap_or(WORDS)
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(
                f,
                "middle proxy sent a frame of {len} bytes, which cannot be: wrong keys or a broken stream"
            ),
            Self::Sequence { expected, got } => write!(
                f,
                "middle proxy sent frame {got} where {expected} was due: the stream is broken"
            ),
            Self::Checksum => write!(f, "a frame of the middle proxy has a wrong checksum"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bodies: &[&[u8]], kind: ChecksumKind) -> Vec<u8> {
        let mut encoder = FrameEncoder::new();
        encoder.set_checksum(kind);
        let mut out = Vec::new();
        for body in bodies {
            let (head, tail) = body.split_at(body.len() / 2);
            let len = encoder.encode_into(&mut out, &[head, tail]);
            assert_eq!(len, body.len() + OVERHEAD);
            out.extend_from_slice(block_padding(out.len()));
            assert_eq!(out.len() % 16, 0);
        }
        out
    }

    /// Feeds the pieces and returns the bodies of the finished frames.
    fn decode(
        decoder: &mut FrameDecoder,
        pieces: &mut [&mut [u8]],
    ) -> Result<Vec<Vec<u8>>, FrameError> {
        let (mut done, mut body, mut announced) = (Vec::new(), Vec::new(), 0);
        for mut piece in pieces.iter_mut().map(|piece| &mut **piece) {
            while let Some(part) = decoder.next(&mut piece)? {
                match part {
                    FramePart::Start { body_len } => announced = body_len,
                    FramePart::Body(part) => body.extend_from_slice(part),
                    FramePart::End => {
                        assert_eq!(body.len(), announced);
                        done.push(std::mem::take(&mut body));
                    }
                }
            }
            assert!(piece.is_empty());
        }
        Ok(done)
    }

    #[test]
    fn frames_survive_every_split() {
        let bodies: [&[u8]; 4] = [&[1; 32], &[], &[2; 4], &[3; 40]];
        for kind in [ChecksumKind::Crc32, ChecksumKind::Crc32c] {
            let mut bytes = frames(&bodies, kind);
            for cut in 0..=bytes.len() {
                let (head, tail) = bytes.split_at_mut(cut);
                let mut decoder = FrameDecoder::new();
                decoder.set_checksum(kind);
                let decoded = decode(&mut decoder, &mut [head, tail]).unwrap();
                assert_eq!(decoded, bodies);
            }
            let mut singles: Vec<_> = bytes.chunks_mut(1).collect();
            let mut decoder = FrameDecoder::new();
            decoder.set_checksum(kind);
            assert_eq!(decode(&mut decoder, &mut singles).unwrap(), bodies);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_before_the_end() {
        let bytes = frames(&[&[7; 20]], ChecksumKind::Crc32);
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode(&mut FrameDecoder::new(), &mut [&mut broken]);
            assert_ne!(decoded, Ok(vec![vec![7; 20]]), "bit {bit}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let decode = |bytes: &[u8]| decode(&mut FrameDecoder::new(), &mut [&mut bytes.to_vec()]);
        for len in [0, 3, 8, 13, MAX_FRAME + 4, u32::MAX] {
            assert_eq!(decode(&len.to_le_bytes()), Err(FrameError::Length(len)));
        }
        assert_eq!(decode(&MAX_FRAME.to_le_bytes()), Ok(vec![]));
        let wrong_seq = FrameError::Sequence {
            expected: -2,
            got: -1,
        };
        assert_eq!(decode(&frame_prefix(4, -1)), Err(wrong_seq));
        let mut bytes = frames(&[&[1; 4]], ChecksumKind::Crc32);
        bytes[15] ^= 1;
        assert_eq!(decode(&bytes), Err(FrameError::Checksum));
    }
}
