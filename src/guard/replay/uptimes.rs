//! Handshakes that tell the client's uptime where others tell the time.

use smol_mtproxy_ciphers::hmac_sha256;

use super::journal::{Batch, Item, Items, WORD, WriteAs, Written, head};
use super::saved::Left;
use super::store::Store;
use super::{TIME_MASK, random_key};

const MAGIC: &[u8; WORD] = b"uptimes1";

/// For so many handshakes that are remembered at all, one of these is.
const PART: usize = 16;
const FEWEST: usize = 8192;

/// A file with so many entries is read even if there is room for fewer.
const USUAL: usize = 250_000;

/// Hellos that tell the client's uptime instead of the time: nothing says how old
/// one is, so each is remembered for ever, as long as there is room.
pub(crate) struct Uptimes {
    key: [u8; 32],
    store: Store,
    most: usize,
}

/// What is known of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uptime {
    New,
    Known,
    /// It may be either; no place is left for it.
    Full,
}

impl Uptimes {
    /// Beside a memory of the latest `entries` handshakes.
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            key: random_key(),
            store: Store::default(),
            most: Self::most(entries),
        }
    }

    /// How many are remembered.
    pub(crate) fn most(entries: usize) -> usize {
        (entries / PART).max(FEWEST)
    }

    /// What is remembered stays, even if it is more.
    pub(crate) fn resize(&mut self, entries: usize) {
        self.most = Self::most(entries);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.most
    }

    pub(crate) fn is_full(&self) -> bool {
        self.store.len >= self.most
    }

    /// Remembers the hello of `id`. Of one that is new and has room `may_add` is
    /// asked, which may refuse it.
    pub(crate) fn remember(&mut self, id: &[u8], may_add: impl FnOnce() -> bool) -> Uptime {
        let hash = hmac_sha256(&self.key, &[id]);
        let entry = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let entry = entry.max(TIME_MASK + 1);
        if self.knows(entry) {
            return Uptime::Known;
        }
        if self.is_full() || !may_add() {
            return Uptime::Full;
        }
        self.store.add(entry, 0, usize::MAX);
        Uptime::New
    }

    fn knows(&mut self, entry: u64) -> bool {
        let mut generations = self.store.generations.iter_mut();
        generations.any(|generation| generation.find(entry, !0).is_some())
    }

    /// See [`Store::keep`], and so on.
    pub(crate) fn keep(&mut self, wanted: bool) {
        self.store.keep(wanted);
    }

    pub(crate) fn begin_anew(&mut self) {
        self.store.begin_anew();
    }

    pub(crate) fn has_news(&self) -> bool {
        self.store.has_news()
    }

    pub(crate) fn take_news(&mut self) -> Option<Batch> {
        let mut words = self.store.journal.as_mut()?.take();
        if words.is_empty() {
            words.extend(self.store.take_unkept()?.entries());
        }
        let journal = self.store.journal.as_mut()?;
        let (place, mut bytes) = match journal.written {
            None => (WriteAs::Anew, head(MAGIC, &self.key)),
            Some(_) => (WriteAs::Behind, Vec::new()),
        };
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        journal.written = Some(Written::default());
        Some(Batch { place, bytes })
    }

    /// The longest that a file can be, in bytes.
    pub(crate) fn longest(&self) -> u64 {
        // Some may be in it twice, where the disk did not follow.
        (self.most.max(USUAL) * 2 * WORD) as u64
    }

    /// Takes over what an earlier run has left.
    pub(crate) fn restore(&mut self, file: Option<&[u8]>) -> Left {
        let items = file.and_then(|file| Items::read(MAGIC, file));
        let Some(mut items) = items else {
            self.begin_anew();
            return Left {
                length: None,
                is_damaged: [false, file.is_some()],
            };
        };
        self.key = items.key;
        self.store.generations.clear();
        self.store.len = 0;
        let mut journal = self.store.journal.take();
        for item in items.by_ref() {
            if let Item::Entry(entry) = item
                && !self.knows(entry)
            {
                self.store.add(entry, 0, usize::MAX);
            }
        }
        if let Some(journal) = &mut journal {
            journal.written = Some(Written::default());
            self.store.set_kept(true);
        }
        self.store.journal = journal;
        Left {
            length: Some(items.sound()),
            ..Left::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::generation::Generation;
    use super::*;

    fn id(number: usize) -> [u8; 32] {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&(number as u64).to_le_bytes());
        id
    }

    fn written(uptimes: &mut Uptimes, file: &mut Vec<u8>) {
        while let Some(batch) = uptimes.take_news() {
            if batch.place == WriteAs::Anew {
                file.clear();
            }
            file.extend(batch.bytes);
        }
        assert!(!uptimes.has_news());
    }

    #[test]
    fn none_is_ever_forgotten_and_when_all_places_are_taken_none_is_let_in() {
        let mut uptimes = Uptimes::new(1000);
        uptimes.keep(true);
        let mut file = Vec::new();
        for number in 0..FEWEST {
            assert_eq!(uptimes.remember(&id(number), || false), Uptime::Full);
            assert_eq!(uptimes.remember(&id(number), || true), Uptime::New);
            if number % 700 == 0 {
                written(&mut uptimes, &mut file);
            }
        }
        written(&mut uptimes, &mut file);
        assert!(file.len() as u64 <= uptimes.longest());
        let mut next = Uptimes::new(1000);
        next.keep(true);
        let left = next.restore(Some(&file));
        assert_eq!(left.length, Some(file.len()));
        for mut uptimes in [uptimes, next] {
            assert!(uptimes.is_full());
            let mut remember = |number| uptimes.remember(&id(number), || true);
            assert!((0..FEWEST).all(|number| remember(number) == Uptime::Known));
            assert_eq!(remember(FEWEST), Uptime::Full);
            uptimes.resize(1_000_000);
            assert_eq!(uptimes.remember(&id(FEWEST), || true), Uptime::New);
            let bytes: usize = uptimes
                .store
                .generations
                .iter()
                .map(Generation::bytes)
                .sum();
            assert!(bytes <= 12 * FEWEST + 2 * 4096, "{bytes}");
        }
    }

    #[test]
    fn what_is_no_file_of_ours_is_told() {
        let mut uptimes = Uptimes::new(1000);
        assert_eq!(uptimes.restore(None), Left::default());
        assert_eq!(uptimes.restore(Some(&[0; 64])).is_damaged, [false, true]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_file_that_is_cut_has_what_stands_before(
            counts in proptest::collection::vec(1usize..3000, 1..4),
            cut in 0usize..=1000,
        ) {
            let mut uptimes = Uptimes::new(1 << 20);
            uptimes.keep(true);
            let (mut file, mut number, mut ends) = (Vec::new(), 0, Vec::new());
            for count in counts {
                for _ in 0..count {
                    uptimes.remember(&id(number), || true);
                    number += 1;
                }
                written(&mut uptimes, &mut file);
                ends.push((number, file.len()));
            }
            file.truncate(file.len() * cut / 1000);
            let mut next = Uptimes::new(1 << 20);
            next.keep(true);
            let left = next.restore(Some(&file));
            prop_assert!(left.length.is_none_or(|length| length <= file.len()));
            for (number, end) in ends {
                if end <= file.len() {
                    prop_assert!((0..number).all(|n| next.remember(&id(n), || true) == Uptime::Known));
                }
            }
        }
    }
}
