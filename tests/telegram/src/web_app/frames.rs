//! Frames: type u8, stream u24, length u32, all big-endian, and the payload.

pub const OPEN: u8 = 0x01;
pub const DATA: u8 = 0x02;
pub const CLOSE: u8 = 0x03;
pub const WINDOW: u8 = 0x04;
pub const PING: u8 = 0x05;
pub const PONG: u8 = 0x06;
pub const HELLO: u8 = 0x10;
pub const WELCOME: u8 = 0x11;
pub const BYE: u8 = 0x1f;

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 8;
/// The most bytes in a DATA, and in a message or body.
pub const MAX_DATA: usize = 1 << 20;
pub const MAX_BATCH: usize = 2 << 20;
/// The most frames in a message or body.
pub const MAX_FRAMES: usize = 4096;
/// What each side may send on a new stream.
pub const CREDIT: u64 = 4 << 20;
/// The highest id of a stream.
pub(super) const LAST_STREAM: u32 = 0x00ff_ffff;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame as bytes, whether its kind may have such a payload or not.
pub fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&stream.to_be_bytes()[1..]);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

pub(super) fn window(stream: u32, credit: u32) -> Vec<u8> {
    frame(WINDOW, stream, &credit.to_be_bytes())
}

/// The frames of a message or body: whole ones, 1 to 4096 of them.
pub(super) fn batch(bytes: &[u8]) -> Result<Vec<Frame>, String> {
    if bytes.len() > MAX_BATCH {
        return Err(format!("a batch of {} bytes", bytes.len()));
    }
    let mut frames = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((head, behind)) = rest.split_first_chunk::<HEADER>() else {
            return Err(format!("{} bytes of a frame's header", rest.len()));
        };
        let [kind, a, b, c, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        let Some((payload, behind)) = behind.split_at_checked(length) else {
            return Err(format!("a frame {kind:02x} without its end"));
        };
        frames.push(Frame {
            kind,
            stream: u32::from_be_bytes([0, a, b, c]),
            payload: payload.to_vec(),
        });
        rest = behind;
    }
    match frames.len() {
        0 => Err("a batch without a frame".to_owned()),
        count if count > MAX_FRAMES => Err(format!("a batch of {count} frames")),
        _ => Ok(frames),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{from_hex, hex};

    #[test]
    fn frames_are_those_of_the_vectors() {
        for (bytes, kind, stream, payload) in [
            ("100000000000000101", HELLO, 0, &[1][..]),
            ("1100000000000000", WELCOME, 0, &[]),
            ("0100000100000000", OPEN, 1, &[]),
            ("01ffffff00000000", OPEN, LAST_STREAM, &[]),
            ("0200000200000003616263", DATA, 2, b"abc"),
            ("040000010000000400040000", WINDOW, 1, &[0, 4, 0, 0]),
            ("0301020300000000", CLOSE, 0x01_02_03, &[]),
            (
                "0500000000000004deadbeef",
                PING,
                0,
                &[0xde, 0xad, 0xbe, 0xef],
            ),
            (
                "0600000000000004deadbeef",
                PONG,
                0,
                &[0xde, 0xad, 0xbe, 0xef],
            ),
        ] {
            assert_eq!(hex(&frame(kind, stream, payload)), bytes);
            let frames = batch(&from_hex(bytes).unwrap()).unwrap();
            let payload = payload.to_vec();
            let expected = Frame {
                kind,
                stream,
                payload,
            };
            assert_eq!(frames, [expected]);
        }
    }

    #[test]
    fn a_batch_is_whole_frames() {
        let cut = from_hex("02000001000000036162").unwrap();
        assert!(batch(&cut).unwrap_err().contains("without its end"));
        assert!(batch(&[1, 0, 0]).unwrap_err().contains("header"));
        assert!(batch(&[]).unwrap_err().contains("without a frame"));
        let many = |count| frame(OPEN, 1, &[]).repeat(count);
        assert_eq!(batch(&many(4096)).unwrap().len(), 4096);
        assert!(batch(&many(4097)).unwrap_err().contains("4097"));
        let long = vec![0; MAX_BATCH - HEADER];
        assert!(batch(&frame(DATA, 1, &long)).is_ok());
        let longer = vec![0; MAX_BATCH - HEADER + 1];
        assert!(batch(&frame(DATA, 1, &longer)).is_err());
    }
}
