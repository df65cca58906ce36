//! A file to which what is new is appended, so that it is there however the process
//! ends.
//!
//! Words of 8 bytes, big-endian: the magic, the key of the hashes (4 words), then in
//! any order entries as they stand in memory; [`AGAIN`] and behind it an entry that
//! came again; a mark of the clock: a check of the next two in 16 bits, seconds since
//! 1970, the same instant on the memory's clock.

use smol_mtproxy_ciphers::hmac_sha256;

use super::TIME_MASK;

/// Words that wait for the disk.
pub(super) const MAX_PENDING: usize = 4096;

pub(super) const WORD: usize = 8;

/// Stands before an entry that the file has already, with another time. It is smaller
/// than every entry, as are the checks of marks; 0 is what a power cut leaves.
pub(super) const AGAIN: u64 = 1;

/// An entry that comes again and again is written once in so many of its units of
/// time: an hour.
const UNITS_PER_WRITE: u64 = 900;

/// What is to be written next, whole.
pub(crate) struct Batch {
    pub(crate) place: WriteAs,
    pub(crate) bytes: Vec<u8>,
}

/// Where the bytes of a batch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteAs {
    /// Behind what the file has.
    Behind,
    /// In place of the file.
    Anew,
    /// In a file that takes the place of this one, which is kept beside it instead of
    /// the one that was there.
    Next,
}

/// An instant on two clocks, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(crate) second: u64,
    pub(crate) unix: u64,
}

/// What has yet to be written, and what was.
#[derive(Default)]
pub(super) struct Journal {
    pending: Vec<u64>,
    /// `None`: the file has to be begun.
    pub(crate) written: Option<Written>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Written {
    pub(crate) entries: usize,
    /// Those among them that came again, as far as can be told.
    pub(crate) again: usize,
    /// When the file was begun, on the memory's clock.
    pub(crate) since: u64,
    /// The last mark.
    pub(crate) marked: Clock,
}

impl Written {
    /// Nothing but a head and that mark.
    pub(crate) fn since(clock: Clock) -> Self {
        Self {
            entries: 0,
            again: 0,
            since: clock.second,
            marked: clock,
        }
    }
}

impl Journal {
    /// False if there is no room for one more.
    pub(crate) fn add(&mut self, entry: u64) -> bool {
        let has_room = self.pending.len() < MAX_PENDING;
        if has_room {
            self.pending.push(entry);
        }
        has_room
    }

    /// It was there `before`, with another time.
    pub(crate) fn add_again(&mut self, before: u64, entry: u64) -> bool {
        let part = |entry: u64| (entry & TIME_MASK) / UNITS_PER_WRITE;
        if part(before) == part(entry) {
            return true;
        }
        let has_room = self.pending.len() + 2 <= MAX_PENDING;
        if has_room {
            self.pending.extend(as_again(entry));
        }
        has_room
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn take(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.pending)
    }

    /// What was written is of no use any more.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

/// The words of an entry that may be there already.
pub(super) fn as_again(entry: u64) -> [u64; 2] {
    [AGAIN, entry]
}

pub(super) fn head(magic: &[u8; WORD], key: &[u8; 32]) -> Vec<u8> {
    [&magic[..], key].concat()
}

pub(super) fn mark(key: &[u8; 32], clock: Clock) -> impl Iterator<Item = u8> {
    let words = [check(key, clock), clock.unix, clock.second];
    words.into_iter().flat_map(u64::to_be_bytes)
}

fn check(key: &[u8; 32], clock: Clock) -> u64 {
    let parts = [clock.unix, clock.second].map(u64::to_be_bytes);
    let hash = hmac_sha256(key, &[&parts[0], &parts[1]]);
    let hash = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
    hash & TIME_MASK | AGAIN << 1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Entry(u64),
    Again(u64),
    Mark(Clock),
}

/// What a file holds. One that was cut anywhere has what stands before the cut.
#[derive(Clone)]
pub(super) struct Items<'a> {
    pub(crate) key: [u8; 32],
    length: usize,
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// `None`: the head is damaged, or of another version.
    pub(crate) fn read(magic: &[u8; WORD], file: &'a [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(magic)?;
        Some(Self {
            key: take(&mut rest)?,
            length: file.len(),
            rest,
        })
    }

    /// Bytes up to the last item that is whole, once all were seen.
    pub(crate) fn sound(&self) -> usize {
        self.length - self.rest.len()
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            let mut rest = self.rest;
            let word = next_word(&mut rest)?;
            let behind = rest;
            let item = match word {
                0 => None,
                AGAIN => Some(Item::Again(next_word(&mut rest)?)),
                2..=TIME_MASK => {
                    let unix = next_word(&mut rest)?;
                    let second = next_word(&mut rest)?;
                    let clock = Clock { second, unix };
                    let is_mark = check(&self.key, clock) == word;
                    is_mark.then_some(Item::Mark(clock))
                }
                entry => Some(Item::Entry(entry)),
            };
            // Of what makes no sense a word, as the next may.
            self.rest = match item {
                Some(_) => rest,
                None => behind,
            };
            match item {
                Some(Item::Again(..=TIME_MASK)) | None => {}
                item => return item,
            }
        }
    }
}

fn next_word(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}
