#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::tls::{
    Cipher, End, HEADER_LEN, Key, KeySchedule, Kind, MAX_RECORD, Opener, RECORD_LEN, Sealer,
    TAIL_LEN, TlsError,
};

/// What one read takes.
const ROOM: usize = 2 * MAX_RECORD;

const RECORDS_PER_KEY: u64 = 3;

/// New keys that are taken before there is much data.
const MAX_KEYS: u64 = 32;
const MAX_RECORDS: u64 = MAX_KEYS * RECORDS_PER_KEY;

/// Keys by number, the same on both sides.
#[derive(Default)]
struct Numbered(u8);

impl Numbered {
    fn next(&mut self) -> Result<Key, TlsError> {
        self.0 = self.0.wrapping_add(1);
        Key::new(Cipher::Aes128Gcm, &[self.0; 16], &[self.0; 12], 0)
    }
}

impl KeySchedule for Numbered {
    fn next_to_peer(&mut self) -> Result<Key, TlsError> {
        self.next()
    }

    fn next_from_peer(&mut self) -> Result<Key, TlsError> {
        self.next()
    }

    fn may_get_tickets(&self) -> bool {
        true
    }
}

/// Each part of the input is a byte that says what it is, one for its length, and so
/// many bytes.
struct Script<'a>(&'a [u8]);

impl<'a> Iterator for Script<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[what, length], rest) = self.0.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(length.into()).unwrap_or((rest, &[]));
        self.0 = rest;
        Some((what, part))
    }
}

fuzz_target!(|input: &[u8]| {
    let (mut ours, mut theirs) = (Numbered::default(), Numbered::default());
    let (Ok(to_peer), Ok(from_peer)) = (ours.next(), theirs.next()) else {
        unreachable!();
    };
    let mut sealer = Sealer::new(to_peer, RECORDS_PER_KEY);
    let mut sent = Vec::new();
    let mut said = Vec::new();
    let mut batch = vec![0; RECORD_LEN];
    let mut cuts = Vec::new();
    // Whether nothing that is wrong has been said.
    let mut is_right = true;
    let mut records = 0;
    for (what, part) in Script(input) {
        match what % 6 {
            // Data, and new keys every third record, but not so often that they are refused.
            0 if records < MAX_RECORDS => {
                records += 1;
                let slices = [part].into_iter();
                let Ok((taken, sealed)) = sealer.seal(&mut batch, slices, &mut ours) else {
                    unreachable!();
                };
                assert_eq!(taken, part.len());
                sent.extend_from_slice(&batch[..sealed]);
                if is_right {
                    said.extend_from_slice(part);
                }
            }
            // What is not data, the messages as they come.
            kind @ (1 | 2) => {
                let kind = if kind == 1 {
                    Kind::Alert
                } else {
                    Kind::Handshake
                };
                let mut record = [&[0; HEADER_LEN], part, &[0; TAIL_LEN]].concat();
                assert!(sealer.seal_one(&mut record, kind).is_ok());
                sent.extend_from_slice(&record);
                is_right = false;
            }
            // No record of the key.
            3 => {
                sent.extend_from_slice(part);
                is_right &= part.is_empty();
            }
            0 => {}
            // Where reads end.
            _ => cuts.extend(part.iter().map(|cut| 1 + usize::from(*cut) * 16)),
        }
    }
    let mut opener = Opener::new(from_peer, Vec::new());
    let mut buffer = vec![0; ROOM];
    let (mut heard, mut rest) = (Vec::new(), sent.as_slice());
    let mut cuts = cuts.iter().cycle();
    let mut end = End::Open;
    while !rest.is_empty() && end == End::Open {
        let known = opener.partial().len();
        assert!(known < MAX_RECORD);
        assert_eq!(opener.partial_mut().put(&mut buffer), known);
        let most = cuts.next().copied().unwrap_or(ROOM).min(ROOM - known);
        let (now, later) = rest.split_at(rest.len().min(most));
        rest = later;
        let filled = known + now.len();
        buffer[known..filled].copy_from_slice(now);
        let opened = opener.open(&mut buffer[..filled], &mut theirs);
        heard.extend_from_slice(&buffer[..opened.data]);
        end = opened.end;
    }
    // What was said before anything else came is heard, whole.
    assert!(heard.starts_with(&said));
    assert!(!is_right || (end == End::Open && heard == said));
});
