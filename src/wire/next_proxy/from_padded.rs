use std::fmt;

use crate::bytes::Gather;
use crate::transport::{QUICK_ACK, Transport};

/// The longest packet that is taken from a proxy, padding included, in bytes.
pub const MAX_ANSWER: usize = 1 << 24;

/// Bytes in front of what came that [`FromPadded::pass`] needs for itself.
pub const HEADROOM: usize = LENGTH + MESSAGE_START;

const LENGTH: usize = 4;

/// As much of a message as tells how long it is: the key's id, and in one without a key an
/// id of 8 bytes and the length of what follows.
const MESSAGE_START: usize = 20;

/// The key's id and the message's, before what is encrypted in blocks.
const ENCRYPTED_AT: usize = 24;
const BLOCK: usize = 16;

/// Turns padded packets into those of a client's transport, however the stream is cut. The
/// padding goes, also where it is longer than 3 bytes, as far as the message tells.
pub struct FromPadded {
    to: Transport,
    /// The beginning of a packet whose length is not known yet.
    start: Gather<HEADROOM>,
    payload_left: usize,
    padding_left: usize,
}

/// A packet without payload, or longer than [`MAX_ANSWER`]: its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaddedError(pub usize);

impl FromPadded {
    /// `to` is the client's transport.
    pub fn new(to: Transport) -> Self {
        Self {
            to,
            start: Gather::default(),
            payload_left: 0,
            padding_left: 0,
        }
    }

    /// What came stands in `space` behind [`HEADROOM`] bytes. Returns what the client gets
    /// of it, at the front: never more than came, but for what was kept before. After an
    /// error the stream makes no sense any more.
    pub fn pass<'a>(&mut self, space: &'a mut [u8]) -> Result<&'a mut [u8], PaddedError> {
        // Fewer than HEADROOM bytes were kept before, so this never writes on what is unread.
        let (mut written, mut at) = (0, HEADROOM);
        while at < space.len() {
            let there = space.len() - at;
            if self.payload_left > 0 {
                let length = self.payload_left.min(there);
                space.copy_within(at..at + length, written);
                self.payload_left -= length;
                written += length;
                at += length;
            } else if self.padding_left > 0 {
                let length = self.padding_left.min(there);
                self.padding_left -= length;
                at += length;
            } else {
                let length = self.start_missing()?.min(there);
                self.start
                    .push(space.get(at..at + length).unwrap_or_default());
                at += length;
                let begun = self.begin()?;
                let place = space.get_mut(written..).unwrap_or_default();
                for (to, from) in place.iter_mut().zip(&begun) {
                    *to = *from;
                }
                written += begun.len();
            }
        }
        Ok(space.get_mut(..written).unwrap_or_default())
    }

    /// The packet's length and flag, once they are there.
    fn word(&self) -> Option<u32> {
        let word = self.start.bytes().first_chunk()?;
        Some(u32::from_le_bytes(*word))
    }

    /// Bytes that [`begin`](Self::begin) lacks.
    fn start_missing(&self) -> Result<usize, PaddedError> {
        let wanted = match self.word() {
            None => LENGTH,
            Some(word) if word & QUICK_ACK != 0 => LENGTH,
            Some(word) => match word as usize {
                length @ 4..=MAX_ANSWER => LENGTH + length.min(MESSAGE_START),
                length => return Err(PaddedError(length)),
            },
        };
        Ok(self.start.missing(wanted))
    }

    /// What the client gets of a packet's beginning, when all of that is there.
    fn begin(&mut self) -> Result<heapless::Vec<u8, HEADROOM, u8>, PaddedError> {
        let mut out = heapless::Vec::new();
        let (0, Some(word)) = (self.start_missing()?, self.word()) else {
            return Ok(out);
        };
        if word & QUICK_ACK != 0 {
            out.extend(self.to.quick_ack(word.to_le_bytes()));
        } else {
            let length = word as usize;
            let message = self.start.bytes().get(LENGTH..).unwrap_or_default();
            let payload = payload_len(length, message);
            let (first, dropped) = message.split_at(payload.min(message.len()));
            out.extend(self.to.write_header(payload, 0));
            out.extend(first.iter().copied());
            self.payload_left = payload - first.len();
            self.padding_left = length - payload - dropped.len();
        }
        self.start.clear();
        Ok(out)
    }
}

/// How much of a packet of `length` bytes that begins with `message` is no padding: a
/// multiple of 4, and at least 4.
fn payload_len(length: usize, message: &[u8]) -> usize {
    let aligned = length - length % 4;
    let told = match message {
        // Too short for a message: Telegram's error code, negative.
        [_, _, _, 0x80..=0xff, ..] if length < MESSAGE_START => Some(4),
        [0, 0, 0, 0, 0, 0, 0, 0, _, _, _, _, _, _, _, _, body @ ..] => {
            let body = body.first_chunk().map(|body| u32::from_le_bytes(*body));
            body.and_then(|body| MESSAGE_START.checked_add(body as usize))
        }
        _ => length
            .checked_sub(ENCRYPTED_AT)
            .map(|encrypted| ENCRYPTED_AT + encrypted / BLOCK * BLOCK),
    };
    // What does not fit is left to the client to judge.
    let fits = |told: &usize| {
        told.is_multiple_of(4) && (length.saturating_sub(15)..=aligned).contains(told)
    };
    told.filter(fits).unwrap_or(aligned)
}

impl fmt::Display for PaddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a packet of {} bytes", self.0)
    }
}

impl std::error::Error for PaddedError {}
