//! WebSocket frames from the server's end: what comes is checked to the letter,
//! what goes is cut as told.

use super::manners::{Cut, Frames, Width};
use crate::crypto::random;

pub(super) const CONTINUATION: u8 = 0;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// Takes a whole frame of at most so many bytes off the front of `input`; `Err` says
/// what no client may send.
pub(super) fn take(input: &mut Vec<u8>, most: u64) -> Result<Option<Taken>, String> {
    let Some(&[first, second]) = input.first_chunk::<2>() else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(format!("reserved bits in the frame {first:02x}"));
    }
    if first & 0x80 == 0 {
        return Err("a message in fragments".to_owned());
    }
    if second & 0x80 == 0 {
        return Err("a frame without a mask".to_owned());
    }
    let opcode = first & 0x0f;
    if !matches!(opcode, BINARY | CLOSE | PING | PONG) {
        return Err(format!("a frame of opcode {opcode}"));
    }
    let (least, wide) = match second & 0x7f {
        126 => (126, 2),
        127 => (1 << 16, 8),
        short => (u64::from(short), 0),
    };
    let Some(told) = input.get(2..2 + wide) else {
        return Ok(None);
    };
    let length = match wide {
        0 => least,
        _ => told.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if length < least {
        return Err(format!("a length of {wide} bytes for {length}"));
    }
    if opcode >= CLOSE && length > 125 {
        return Err(format!("a control frame of {length} bytes"));
    }
    if length > most {
        return Err(format!("a message of {length} bytes"));
    }
    let start = 2 + wide + 4;
    let end = start + length as usize;
    if input.len() < end {
        return Ok(None);
    }
    let mask: [u8; 4] = [2, 3, 4, 5].map(|at| input[at + wide]);
    let mut payload = input[start..end].to_vec();
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    input.drain(..end);
    Ok(Some(Taken { opcode, payload }))
}

/// A well-made frame of a server.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(opcode, true, payload.len() as u64, Width::Minimal);
    out.extend_from_slice(payload);
    out
}

/// The payload of a CLOSE.
pub fn close_payload(code: u16, text: &str) -> Vec<u8> {
    let mut out = code.to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

/// A frame's header without a mask.
pub fn header(opcode: u8, is_last: bool, length: u64, width: Width) -> Vec<u8> {
    let mut out = vec![opcode | u8::from(is_last) << 7];
    match (width, length) {
        (Width::Minimal, ..=125) => out.push(length as u8),
        (Width::Minimal | Width::Two, ..=0xffff) => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out
}

/// Makes frames of what the DC says.
pub(super) struct Cutter {
    frames: Frames,
    /// Frames of the message that is open.
    open: usize,
    /// Bytes that the frame lacks.
    lacks: u64,
    made: usize,
    /// Payloads of the pings that were made since the last look.
    pub pings: Vec<Vec<u8>>,
}

impl Cutter {
    pub fn new(frames: Frames) -> Self {
        Self {
            frames,
            open: 0,
            lacks: 0,
            made: 0,
            pings: Vec::new(),
        }
    }

    /// Whether a control frame may be sent at this place.
    pub fn is_between_frames(&self) -> bool {
        self.lacks == 0
    }

    pub fn cut(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        while !bytes.is_empty() {
            let size = match self.frames.cut {
                Cut::UpTo(size) | Cut::Fragments { size, .. } => size.max(1),
                Cut::Exactly(length) => {
                    if self.lacks == 0 {
                        self.lacks = length.max(1);
                        out.append(&mut self.begin(true, self.lacks));
                    }
                    let (now, later) = bytes.split_at(bytes.len().min(self.lacks as usize));
                    out.extend_from_slice(now);
                    self.lacks -= now.len() as u64;
                    bytes = later;
                    if self.lacks == 0 {
                        self.end(&mut out);
                    }
                    continue;
                }
            };
            if self.frames.empties {
                out.append(&mut self.begin(false, 0));
                self.open += 1;
            }
            let (now, later) = bytes.split_at(bytes.len().min(size));
            bytes = later;
            let is_last = match self.frames.cut {
                Cut::Fragments { count, .. } => count != 0 && self.open + 1 >= count,
                _ => true,
            };
            out.append(&mut self.begin(is_last, now.len() as u64));
            match self.frames.masked {
                false => out.extend_from_slice(now),
                true => out.extend(now.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b)),
            }
            self.open = if is_last { 0 } else { self.open + 1 };
            self.end(&mut out);
        }
        out
    }

    fn begin(&self, is_last: bool, length: u64) -> Vec<u8> {
        let opcode = match self.open {
            0 => self.frames.opcode,
            _ => CONTINUATION,
        };
        let reserved = self.frames.reserved << 4;
        let mut out = header(opcode | reserved, is_last, length, self.frames.width);
        if self.frames.masked {
            out[1] |= 0x80;
            out.extend_from_slice(&MASK);
        }
        out
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.made += 1;
        if !self.frames.pings {
            return;
        }
        // All lengths that there may be, the empty one too.
        let payload = random::<125>()[..self.made * 31 % 126].to_vec();
        out.append(&mut frame(PING, &payload));
        self.pings.push(payload);
        if self.made.is_multiple_of(2) {
            out.append(&mut frame(PONG, b"asked by nobody"));
        }
    }
}

const MASK: [u8; 4] = [0xa5, 0x5a, 0x0f, 0xf0];

#[cfg(test)]
mod tests {
    use super::*;

    fn take(input: &mut Vec<u8>) -> Result<Option<Taken>, String> {
        super::take(input, 1 << 20)
    }

    /// A frame as a client sends it.
    fn sent(first: u8, width: Width, payload: &[u8]) -> Vec<u8> {
        let mut out = header(0, false, payload.len() as u64, width);
        (out[0], out[1]) = (first, out[1] | 0x80);
        out.extend_from_slice(&MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
        out
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let payload = vec![7; length];
            let whole = sent(0x82, Width::Minimal, &payload);
            for short in [0, 1, 2, 5, whole.len() - 1] {
                assert_eq!(take(&mut whole[..short].to_vec()), Ok(None));
            }
            let mut input = [whole, vec![1, 2]].concat();
            let taken = take(&mut input).unwrap().unwrap();
            assert_eq!((taken.opcode, taken.payload), (BINARY, payload));
            assert_eq!(input, [1, 2]);
        }
    }

    /// RFC 6455 §5.7: "Hello" in a masked text frame; here its first byte says
    /// binary.
    #[test]
    fn the_mask_is_that_of_the_standard() {
        let mut input = vec![
            0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(take(&mut input).unwrap().unwrap().payload, b"Hello");
    }

    #[test]
    fn what_no_client_may_send_is_named() {
        let unmasked = frame(BINARY, b"x");
        let long = [&[0x82, 0xff][..], &(2u64 << 20).to_be_bytes()].concat();
        for (bytes, expected) in [
            (unmasked, "without a mask"),
            (sent(0x02, Width::Minimal, b"x"), "fragments"),
            (sent(0xc2, Width::Minimal, b"x"), "reserved"),
            (sent(0x81, Width::Minimal, b"x"), "opcode 1"),
            (sent(0x80, Width::Minimal, b"x"), "opcode 0"),
            (sent(0x83, Width::Minimal, b"x"), "opcode 3"),
            (sent(0x82, Width::Two, b"x"), "2 bytes for 1"),
            (sent(0x82, Width::Eight, &[0; 300]), "8 bytes for 300"),
            (sent(0x88, Width::Minimal, &[0; 126]), "control"),
            (long, "a message of"),
        ] {
            let said = take(&mut bytes.clone()).unwrap_err();
            assert!(said.contains(expected), "{said}: {expected}");
        }
    }

    #[test]
    fn pieces_add_up_however_they_are_cut() {
        let bytes: Vec<u8> = (0..1000).map(|at| at as u8).collect();
        for cut in [
            Cut::UpTo(1),
            Cut::UpTo(700),
            Cut::Fragments { size: 3, count: 4 },
            Cut::Fragments { size: 90, count: 0 },
            Cut::Exactly(1),
            Cut::Exactly(300),
            Cut::Exactly(1 << 30),
        ] {
            for (pings, empties) in [(false, false), (true, false), (true, true)] {
                for width in [Width::Minimal, Width::Two, Width::Eight] {
                    let mut cutter = Cutter::new(Frames {
                        cut,
                        pings,
                        empties,
                        width,
                        ..Frames::default()
                    });
                    let mut out = Vec::new();
                    for part in bytes.chunks(77) {
                        out.append(&mut cutter.cut(part));
                    }
                    assert_eq!(payloads(&out), bytes, "{cut:?}");
                    assert_eq!(cutter.pings.is_empty(), !pings || cutter.made == 0);
                }
            }
        }
    }

    /// What is in frames of a server, the last of which may lack its end.
    fn payloads(mut input: &[u8]) -> Vec<u8> {
        let (mut out, mut is_open) = (Vec::new(), false);
        while !input.is_empty() {
            let (head, rest) = input.split_at(2);
            let wide = match head[1] {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let (told, rest) = rest.split_at(wide);
            let length = match wide {
                0 => usize::from(head[1]),
                _ => told
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            };
            let (payload, rest) = rest.split_at(length.min(rest.len()));
            input = rest;
            let opcode = head[0] & 0x0f;
            if opcode < CLOSE {
                assert_eq!(opcode == CONTINUATION, is_open);
                is_open = head[0] & 0x80 == 0;
                out.extend_from_slice(payload);
            } else {
                assert!(payload.len() <= 125 && head[0] & 0x80 != 0);
            }
        }
        out
    }
}
