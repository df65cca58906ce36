use std::io::IoSlice;
use std::time::Duration;

use crate::net::SCRATCH_LEN;
use crate::wire::fake_tls::{MAX_RECORD, record_header};

/// Bytes in front of a payload and behind it at most: a packet's header and
/// its padding.
const FRAMING: usize = 4 + 3;

/// Records that one write needs at most, beginning with the smallest: those
/// that grow, and full ones.
const MAX_RECORDS: usize = (SCRATCH_LEN + FRAMING).div_ceil(MAX_RECORD) + 8;

/// A header a record, a slice a part, and a cut of one between two records.
pub(super) const MAX_SLICES: usize = 2 * MAX_RECORDS + 3;

pub(super) type Slices<'a> = heapless::Vec<IoSlice<'a>, MAX_SLICES>;

/// The smallest first record: what fits a packet on the narrowest paths.
const FIRST_RECORD: u16 = 1200;
/// What the widest add to it.
const PATHS_DIFFER_BY: u16 = 190;

/// After a pause as long as this, servers begin with small records again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long the next records may be. Web servers begin with records of one
/// packet each, so that browsers need not wait for a second one before they
/// see a first byte, and let them grow by as much each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordLengths {
    /// By how much each is longer than the one before; 0: all are full.
    step: u16,
    next: u16,
}

impl RecordLengths {
    pub const FULL: Self = Self {
        step: 0,
        next: MAX_RECORD as u16,
    };

    /// Beginning with small ones; `random` chooses how small.
    pub fn growing(random: u8) -> Self {
        let step = FIRST_RECORD + u16::from(random) % PATHS_DIFFER_BY;
        Self { step, next: step }
    }

    /// Nothing was sent for [`PAUSE`].
    pub fn restart(&mut self) {
        if self.step > 0 {
            self.next = self.step;
        }
    }

    fn next(&mut self) -> usize {
        let next = self.next;
        self.next = next.saturating_add(self.step).min(MAX_RECORD as u16);
        next.into()
    }
}

/// The record headers of one write, in order, each with its payload's length.
pub(super) struct RecordHeaders(heapless::Vec<([u8; 5], usize), MAX_RECORDS>);

impl RecordHeaders {
    /// For a write of `total` bytes, at most [`SCRATCH_LEN`] and a packet's
    /// framing.
    pub fn new(mut total: usize, lengths: &mut RecordLengths) -> Self {
        let mut headers = heapless::Vec::new();
        while total > 0 {
            let length = total.min(lengths.next());
            let pushed = headers.push((record_header(length), length));
            debug_assert!(pushed.is_ok(), "a write of more than {MAX_RECORDS} records");
            total -= length;
        }
        Self(headers)
    }

    /// The parts, cut into records, with their headers in between.
    pub fn wrap<'a>(&'a self, parts: [&'a [u8]; 3]) -> Slices<'a> {
        let mut headers = self.0.iter();
        let mut record_left = 0;
        let mut slices = Slices::new();
        for mut part in parts {
            while !part.is_empty() {
                if record_left == 0 {
                    let Some((header, length)) = headers.next() else {
                        return slices;
                    };
                    record_left = *length;
                    push(&mut slices, header);
                }
                let (piece, rest) = part.split_at(record_left.min(part.len()));
                push(&mut slices, piece);
                part = rest;
                record_left -= piece.len();
            }
        }
        slices
    }
}

/// The parts as they are.
pub(super) fn unwrapped<'a>(parts: [&'a [u8]; 3]) -> Slices<'a> {
    let mut slices = Slices::new();
    for part in parts {
        if !part.is_empty() {
            push(&mut slices, part);
        }
    }
    slices
}

fn push<'a>(slices: &mut Slices<'a>, slice: &'a [u8]) {
    let pushed = slices.push(IoSlice::new(slice));
    debug_assert!(pushed.is_ok(), "a write of more than {MAX_RECORDS} records");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads of the records of one write of `parts`.
    fn records(parts: [&[u8]; 3], lengths: &mut RecordLengths) -> Vec<Vec<u8>> {
        let total = parts.iter().map(|part| part.len()).sum();
        let headers = RecordHeaders::new(total, lengths);
        let wire = headers.wrap(parts);
        let wire: Vec<u8> = wire.iter().flat_map(|s| s.to_vec()).collect();
        let mut rest = &wire[..];
        let mut records = Vec::new();
        while let Some((header, behind)) = rest.split_first_chunk::<5>() {
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            assert_eq!(header[..3], [0x17, 3, 3]);
            assert!((1..=MAX_RECORD).contains(&length));
            records.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        records
    }

    #[test]
    fn records_hold_the_parts_in_order() {
        let data: Vec<u8> = (0..SCRATCH_LEN).map(|i| i as u8).collect();
        for length in [
            0,
            1,
            5,
            1200,
            MAX_RECORD - 4,
            MAX_RECORD,
            MAX_RECORD + 1,
            SCRATCH_LEN,
        ] {
            let parts = [&[1, 2, 3, 4][..], &data[..length], &[7, 8, 9][..]];
            let expected: Vec<u8> = parts.concat();
            for mut lengths in [
                RecordLengths::FULL,
                RecordLengths::growing(0),
                RecordLengths::growing(255),
            ] {
                assert_eq!(records(parts, &mut lengths).concat(), expected);
                assert_eq!(records(parts, &mut lengths).concat(), expected);
            }
            let plain: Vec<u8> = unwrapped(parts).iter().flat_map(|s| s.to_vec()).collect();
            assert_eq!(plain, expected);
        }
    }

    #[test]
    fn records_grow_and_begin_small_again_after_a_pause() {
        let data = vec![0; SCRATCH_LEN];
        let mut lengths = RecordLengths::growing(0);
        let first =
            |lengths: &mut RecordLengths, at: usize| records([&[], &data, &[]], lengths)[at].len();
        assert_eq!(first(&mut lengths, 0), 1200);
        assert_eq!(first(&mut lengths, 1), 1200 * 12);
        assert_eq!(first(&mut lengths, 0), MAX_RECORD);
        lengths.restart();
        assert_eq!(first(&mut lengths, 2), 3600);
        let mut full = RecordLengths::FULL;
        full.restart();
        assert_eq!(first(&mut full, 0), MAX_RECORD);
    }

    #[test]
    fn a_write_of_everything_has_enough_slices() {
        let data = vec![0; SCRATCH_LEN];
        let cut = [&[0; 4][..], &data, &[0; 3]];
        for random in 0..=255 {
            let mut lengths = RecordLengths::growing(random);
            assert!(records(cut, &mut lengths).len() <= MAX_RECORDS);
        }
    }
}
