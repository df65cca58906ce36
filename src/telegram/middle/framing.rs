//! Frames on their way out: each with its length, its number and its checksum, in a
//! buffer that is encrypted then.

use smol_mtproxy_ciphers::{Checksum, ChecksumKind};

use crate::net::Rope;
use crate::wire::full::frame_prefix;

pub(super) const CHECKSUM_LEN: usize = 4;

/// Numbers the frames of one connection.
pub(super) struct Framer {
    checksum: ChecksumKind,
    sequence: i32,
}

impl Framer {
    pub(crate) fn new(checksum: ChecksumKind) -> Self {
        Self {
            checksum,
            sequence: 0,
        }
    }

    /// Begins a frame whose body and checksum are to follow.
    pub(crate) fn begin(&mut self, out: &mut Cursor<'_>, body_len: usize) -> Checksum {
        let prefix = frame_prefix(body_len, self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        let mut checksum = Checksum::new(self.checksum);
        checksum.update(&prefix);
        out.put(&prefix);
        checksum
    }

    /// A whole frame. Callers have asked for the [room](Cursor::room) before.
    pub(crate) fn put(&mut self, out: &mut Cursor<'_>, body: &[u8]) {
        let mut checksum = self.begin(out, body.len());
        checksum.update(body);
        out.put(body);
        out.put(&checksum.finish().to_le_bytes());
    }
}

/// A frame of which something is framed.
pub(super) struct Begun {
    pub(crate) remaining: usize,
    pub(crate) checksum: Checksum,
}

impl Begun {
    /// Goes on with the frame, whose rest is at the front of `payload`; false if `out`
    /// is full before its end. All lengths are multiples of 4, so the checksum never
    /// splits.
    pub(crate) fn fill(&mut self, payload: &mut Rope, out: &mut Cursor<'_>) -> bool {
        let start = out.length;
        let wanted = self.remaining.min(out.room());
        let room = out
            .buffer
            .get_mut(start..start + wanted)
            .unwrap_or_default();
        let copied = payload.copy_out(room);
        self.checksum.update(room.get(..copied).unwrap_or_default());
        out.length += copied;
        self.remaining -= copied;
        if self.remaining > 0 || out.room() < CHECKSUM_LEN {
            return false;
        }
        out.put(&self.checksum.clone().finish().to_le_bytes());
        true
    }
}

/// A buffer that is filled from its front.
pub(super) struct Cursor<'a> {
    pub(crate) buffer: &'a mut [u8],
    pub(crate) length: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.length
    }

    /// Callers have asked for [`room`](Self::room) before.
    pub(crate) fn put(&mut self, data: &[u8]) {
        if let Some(to) = self.buffer.get_mut(self.length..self.length + data.len()) {
            to.copy_from_slice(data);
            self.length += data.len();
        }
    }
}
