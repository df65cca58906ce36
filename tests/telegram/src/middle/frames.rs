//! Frames of a middle-proxy connection, in the clear (`doc/protocol.md` §4).

use crate::control::Damage;

pub const PADDING_WORD: [u8; 4] = [4, 0, 0, 0];
const MAX_FRAME: usize = 1 << 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Crc32,
    Crc32c,
}

impl Checksum {
    pub fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Self::Crc32 => crc32fast::hash(bytes),
            Self::Crc32c => crc32c::crc32c(bytes),
        }
    }
}

/// The reading side. Everything that it refuses is a violation.
pub struct FrameReader {
    pub checksum: Checksum,
    seq: i32,
    clear: Vec<u8>,
    taken: usize,
    padding_words: usize,
}

impl FrameReader {
    pub fn new() -> Self {
        Self {
            checksum: Checksum::Crc32,
            seq: -2,
            clear: Vec::new(),
            taken: 0,
            padding_words: 0,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.clear.drain(..self.taken);
        self.taken = 0;
        self.clear.extend_from_slice(bytes);
    }

    /// The body of the next frame that is whole.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let rest = &self.clear[self.taken..];
            let Some(head) = rest.first_chunk::<4>() else {
                return Ok(None);
            };
            let length = u32::from_le_bytes(*head) as usize;
            if *head == PADDING_WORD {
                self.taken += 4;
                self.padding_words += 1;
                if self.padding_words > 3 {
                    return Err("more padding than a block needs".to_owned());
                }
                continue;
            }
            if !(12..=MAX_FRAME).contains(&length) || !length.is_multiple_of(4) {
                return Err(format!("a frame of {length} bytes"));
            }
            let Some(frame) = rest.get(..length) else {
                return Ok(None);
            };
            let body = check(frame, self.seq, self.checksum)?;
            self.seq = self.seq.wrapping_add(1);
            self.padding_words = 0;
            self.taken += length;
            return Ok(Some(body));
        }
    }

    /// Bytes of the frame that has begun but is not whole, and its length.
    pub fn unfinished(&self) -> Option<(usize, usize)> {
        let rest = &self.clear[self.taken..];
        let head = rest.first_chunk::<4>()?;
        Some((rest.len(), u32::from_le_bytes(*head) as usize))
    }
}

fn check(frame: &[u8], seq: i32, checksum: Checksum) -> Result<Vec<u8>, String> {
    let (covered, sum) = frame.split_at(frame.len() - 4);
    let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let got = number(&covered[4..]) as i32;
    if got != seq {
        return Err(format!("sequence number {got} where {seq} is due"));
    }
    if number(sum) != checksum.of(covered) {
        return Err(format!("frame {seq} has a wrong {checksum:?}"));
    }
    Ok(covered[8..].to_vec())
}

/// The writing side.
pub struct FrameWriter {
    pub checksum: Checksum,
    seq: i32,
}

impl FrameWriter {
    pub fn new() -> Self {
        Self {
            checksum: Checksum::Crc32,
            seq: -2,
        }
    }

    pub fn write(&mut self, out: &mut Vec<u8>, body: &[&[u8]], damage: Option<Damage>) {
        let start = out.len();
        let length = 12 + body.iter().map(|part| part.len()).sum::<usize>();
        let told = match damage {
            Some(Damage::Length) => MAX_FRAME + 4,
            _ => length,
        };
        let seq = match damage {
            Some(Damage::Sequence) => self.seq.wrapping_add(7),
            _ => self.seq,
        };
        out.extend_from_slice(&(told as u32).to_le_bytes());
        out.extend_from_slice(&seq.to_le_bytes());
        for part in body {
            out.extend_from_slice(part);
        }
        let mut sum = self.checksum.of(&out[start..]);
        if damage == Some(Damage::Checksum) {
            sum ^= 1;
        }
        out.extend_from_slice(&sum.to_le_bytes());
        self.seq = self.seq.wrapping_add(1);
    }
}

/// Fills the last block of what is about to be encrypted.
pub fn pad(out: &mut Vec<u8>) {
    while !out.len().is_multiple_of(16) {
        out.extend_from_slice(&PADDING_WORD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(damage: Option<Damage>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = FrameWriter::new();
        writer.write(&mut out, &[b"four", b"more"], None);
        pad(&mut out);
        writer.write(&mut out, &[b"next"], damage);
        pad(&mut out);
        out
    }

    #[test]
    fn frames_come_back_at_every_split() {
        let bytes = written(None);
        for cut in 0..=bytes.len() {
            let mut reader = FrameReader::new();
            let mut bodies = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                reader.push(part);
                while let Some(body) = reader.next().unwrap() {
                    bodies.push(body);
                }
            }
            assert_eq!(bodies, [b"fourmore".to_vec(), b"next".to_vec()]);
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        for damage in [Damage::Checksum, Damage::Sequence, Damage::Length] {
            let mut reader = FrameReader::new();
            reader.push(&written(Some(damage)));
            assert!(reader.next().unwrap().is_some());
            assert!(reader.next().is_err(), "{damage:?}");
        }
    }
}
