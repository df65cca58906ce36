//! How what goes to a fake-TLS client is cut into records.

use std::io::IoSlice;

use crate::config::RecordSizes;
use crate::net::SCRATCH_LEN;
use crate::wire::fake_tls::{FULL_RECORD, MAX_RECORD, SHORTEST_RECORD, record_header};

/// Bytes around the payload of one write at most: what was held before it,
/// quick-acks on both sides of a packet, its header and its padding.
const FRAMING: usize = 640;

/// Records that one write needs at most, beginning with the smallest: those
/// that grow, and full ones.
const MAX_RECORDS: usize = (SCRATCH_LEN + FRAMING).div_ceil(MAX_RECORD) + 8;

/// Slices that one write is made of, without its record headers.
pub(super) const PARTS: usize = 4;

/// A header a record, a slice a part, and a cut of one between two records.
pub(super) const MAX_SLICES: usize = 2 * MAX_RECORDS + PARTS;

pub(super) type Slices<'a> = heapless::Vec<IoSlice<'a>, MAX_SLICES>;

/// By how much the data of each record is longer than that of the one before
/// where they grow: what Go puts into one packet.
const STEP: u16 = 1186;

/// A server that sends as many encrypted records before it has heard of the
/// client's sends a session ticket among them, as those do that are written
/// in Go (`crypto/tls`).
const RECORDS_OF_GO: u8 = 5;

/// How long the next records may be. OpenSSL, and so nginx, fills them; servers
/// written in Go begin with records of one packet each, so that browsers need
/// not wait for a second one before they see a first byte, and let them grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordLengths {
    next: u16,
    longest: u16,
}

impl RecordLengths {
    /// As the server makes them that passes for one with `flight` encrypted
    /// records in its answer, if that was measured. `takes_full`: the client is
    /// one that reads records of more than 16 KiB.
    pub(crate) fn new(sizes: RecordSizes, flight: Option<u8>, takes_full: bool) -> Self {
        let longest = if takes_full { FULL_RECORD } else { MAX_RECORD } as u16;
        let grow = match sizes {
            RecordSizes::Auto => flight.is_some_and(|records| records >= RECORDS_OF_GO),
            RecordSizes::Growing => true,
            RecordSizes::Full => false,
        };
        let next = if grow {
            STEP + SHORTEST_RECORD as u16
        } else {
            longest
        };
        Self { next, longest }
    }

    fn next(&mut self) -> usize {
        let next = self.next;
        self.next = next.saturating_add(STEP).min(self.longest);
        next.into()
    }
}

/// The record headers of one write, in order, each with its payload's length.
pub(super) struct RecordHeaders(heapless::Vec<([u8; 5], usize), MAX_RECORDS>);

impl RecordHeaders {
    /// For a write of `total` bytes, at most [`SCRATCH_LEN`] and what is around
    /// a payload. No record is too short unless all of it is.
    pub(crate) fn new(mut total: usize, lengths: &mut RecordLengths) -> Self {
        let mut headers = heapless::Vec::new();
        while total > 0 {
            let mut length = total.min(lengths.next());
            let left = total - length;
            if (1..SHORTEST_RECORD).contains(&left) {
                length -= SHORTEST_RECORD - left;
            }
            let pushed = headers.push((record_header(length), length));
            debug_assert!(pushed.is_ok(), "a write of more than {MAX_RECORDS} records");
            total -= length;
        }
        Self(headers)
    }

    /// The parts, cut into records, with their headers in between, as far as
    /// there are records for them.
    pub(crate) fn wrap<'a>(&'a self, parts: [&'a [u8]; PARTS]) -> Slices<'a> {
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
pub(super) fn unwrapped<'a>(parts: [&'a [u8]; PARTS]) -> Slices<'a> {
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
    use proptest::prelude::*;

    use super::*;

    const ALL: [RecordSizes; 2] = [RecordSizes::Full, RecordSizes::Growing];

    fn lengths(sizes: RecordSizes) -> RecordLengths {
        RecordLengths::new(sizes, None, true)
    }

    /// Payloads of the records of one write of `parts`.
    fn records(parts: [&[u8]; PARTS], lengths: &mut RecordLengths) -> Vec<Vec<u8>> {
        let total = parts.iter().map(|part| part.len()).sum();
        let headers = RecordHeaders::new(total, lengths);
        let wire = headers.wrap(parts);
        let wire: Vec<u8> = wire.iter().flat_map(|s| s.to_vec()).collect();
        let mut rest = &wire[..];
        let mut records = Vec::new();
        while let Some((header, behind)) = rest.split_first_chunk::<5>() {
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            assert_eq!(header[..3], [0x17, 3, 3]);
            assert!((1..=FULL_RECORD).contains(&length));
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
            FULL_RECORD - 4,
            FULL_RECORD,
            FULL_RECORD + 1,
            SCRATCH_LEN,
        ] {
            let parts = [&[0][..], &[1, 2, 3, 4], &data[..length], &[7, 8, 9]];
            let expected: Vec<u8> = parts.concat();
            for mut lengths in ALL.map(lengths) {
                assert_eq!(records(parts, &mut lengths).concat(), expected);
                assert_eq!(records(parts, &mut lengths).concat(), expected);
            }
            let plain: Vec<u8> = unwrapped(parts).iter().flat_map(|s| s.to_vec()).collect();
            assert_eq!(plain, expected);
        }
    }

    proptest! {
        #[test]
        fn no_record_is_too_short(total in SHORTEST_RECORD..=SCRATCH_LEN, before in 0..20_usize) {
            let data = vec![0; total];
            for mut lengths in ALL.map(lengths) {
                for _ in 0..before {
                    lengths.next();
                }
                let records = records([&[], &data, &[], &[]], &mut lengths);
                prop_assert!(records.iter().all(|one| one.len() >= SHORTEST_RECORD));
            }
        }
    }

    #[test]
    fn records_are_those_of_the_server() {
        let data = vec![0; SCRATCH_LEN];
        let of = |sizes, flight, takes_full| {
            let mut lengths = RecordLengths::new(sizes, flight, takes_full);
            let mut sizes = Vec::new();
            for _ in 0..4 {
                let records = records([&[], &data, &[], &[]], &mut lengths);
                sizes.extend(records.iter().map(|one| one.len()));
            }
            sizes
        };
        let full = of(RecordSizes::Full, Some(5), true);
        assert_eq!(
            full[..4],
            [16_401, 16_401, 16_401, SCRATCH_LEN - 3 * 16_401]
        );
        let growing = of(RecordSizes::Growing, Some(4), true);
        assert_eq!(growing[..3], [1203, 2389, 3575]);
        assert_eq!(growing.iter().max(), Some(&16_401));
        assert_eq!(of(RecordSizes::Auto, Some(4), true), full);
        assert_eq!(of(RecordSizes::Auto, None, true), full);
        assert_eq!(of(RecordSizes::Auto, Some(5), true), growing);
        let old_client = of(RecordSizes::Auto, Some(5), false);
        assert_eq!(old_client.iter().max(), Some(&16_384));
        assert_eq!(of(RecordSizes::Full, None, false)[..4], [16_384; 4]);
    }

    #[test]
    fn a_write_of_everything_has_enough_slices() {
        let (held, data, around) = ([0; 32], vec![0; SCRATCH_LEN], [0; 264]);
        let cut = [&held[..], &around, &data, &around];
        for mut lengths in ALL.map(lengths) {
            assert!(records(cut, &mut lengths).len() <= MAX_RECORDS);
        }
    }
}
