use std::io::IoSlice;

use crate::net::SCRATCH_LEN;
use crate::wire::fake_tls::{MAX_RECORD, record_header};

/// Bytes in front of a payload and behind it at most: a packet's header and
/// its padding.
const FRAMING: usize = 4 + 3;

const MAX_RECORDS: usize = (SCRATCH_LEN + FRAMING).div_ceil(MAX_RECORD);

/// A header a record, a slice a part, and a cut of one between two records.
pub(super) const MAX_SLICES: usize = 3 * MAX_RECORDS;

pub(super) type Slices<'a> = heapless::Vec<IoSlice<'a>, MAX_SLICES>;

/// The two kinds of record headers that one write can need.
pub(super) struct RecordHeaders {
    full: [u8; 5],
    last: [u8; 5],
}

impl RecordHeaders {
    /// For a write of `total` bytes.
    pub fn new(total: usize) -> Self {
        Self {
            full: record_header(MAX_RECORD),
            last: record_header(total % MAX_RECORD),
        }
    }

    /// The parts, cut into records, with their headers in between. Together
    /// the parts are at most [`SCRATCH_LEN`] and a packet's framing.
    pub fn wrap<'a>(&'a self, parts: [&'a [u8]; 3]) -> Slices<'a> {
        let mut total_left: usize = parts.iter().map(|part| part.len()).sum();
        let mut record_left = 0;
        let mut slices = Slices::new();
        for mut part in parts {
            while !part.is_empty() {
                if record_left == 0 {
                    record_left = total_left.min(MAX_RECORD);
                    let is_full = record_left == MAX_RECORD;
                    let header = if is_full { &self.full } else { &self.last };
                    push(&mut slices, header);
                }
                let (piece, rest) = part.split_at(record_left.min(part.len()));
                push(&mut slices, piece);
                part = rest;
                record_left -= piece.len();
                total_left -= piece.len();
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

    #[test]
    fn records_hold_the_parts_in_order() {
        let data: Vec<u8> = (0..SCRATCH_LEN).map(|i| i as u8).collect();
        for length in [
            0,
            1,
            5,
            MAX_RECORD - 4,
            MAX_RECORD,
            MAX_RECORD + 1,
            SCRATCH_LEN,
        ] {
            let parts = [&[1, 2, 3, 4][..], &data[..length], &[7, 8, 9][..]];
            let expected: Vec<u8> = parts.concat();
            let headers = RecordHeaders::new(expected.len());
            let wire: Vec<u8> = headers
                .wrap(parts)
                .iter()
                .flat_map(|s| s.to_vec())
                .collect();
            let mut rest = &wire[..];
            let mut payload = Vec::new();
            while let Some((header, behind)) = rest.split_first_chunk::<5>() {
                let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
                assert_eq!(header[..3], [0x17, 3, 3]);
                assert!((1..=MAX_RECORD).contains(&length));
                payload.extend_from_slice(&behind[..length]);
                rest = &behind[length..];
            }
            assert_eq!(payload, expected);
            assert_eq!(
                unwrapped(parts)
                    .iter()
                    .flat_map(|s| s.to_vec())
                    .collect::<Vec<_>>(),
                expected
            );
        }
    }
}
