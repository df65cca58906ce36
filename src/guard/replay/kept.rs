//! The memory in a file, from one run to the next.
//!
//! All numbers big-endian: the magic, the key of the hash (32), seconds since
//! 1970 (8), the same instant on the memory's clock (4), how many entries there
//! are (4); then the entries (8 each), those of the oldest generation first.

use super::{PART_OF_ALL, ReplayMemory, TIME_MASK, UNIT, unit};

const MAGIC: &[u8; 8] = b"replays2";

const HEAD_LEN: usize = 8 + 32 + 8 + 4 + 4;
const ENTRY_LEN: usize = 8;

/// Seconds after which the memory's clock begins again: in a restored one it is
/// this much ahead, so that nothing was seen before its beginning.
const ROUND: u64 = (TIME_MASK + 1) * UNIT;

impl ReplayMemory {
    /// The longest that [`save`](Self::save) gives, in bytes.
    pub fn most_saved(&self) -> usize {
        HEAD_LEN + (self.wanted + self.wanted.div_ceil(PART_OF_ALL)) * ENTRY_LEN
    }

    /// Everything remembered at `now`, which is `unix_now` in seconds since
    /// 1970.
    pub fn save(&self, now: u64, unix_now: u64) -> Vec<u8> {
        let mut saved = Vec::with_capacity(HEAD_LEN + self.len * ENTRY_LEN);
        saved.extend(MAGIC);
        saved.extend(self.key);
        saved.extend(unix_now.to_be_bytes());
        saved.extend(((self.second(now) % ROUND) as u32).to_be_bytes());
        saved.extend((self.len as u32).to_be_bytes());
        let entries = self.generations.iter().flat_map(|part| part.entries());
        saved.extend(entries.flat_map(u64::to_be_bytes));
        saved
    }

    /// Takes over what an earlier run saved, at its beginning, the latest where
    /// that had room for more; false if it is damaged, of another version, or older
    /// than anything is remembered for.
    pub fn restore(&mut self, saved: &[u8], now: u64, unix_now: u64) -> bool {
        self.try_restore(saved, now, unix_now).is_some()
    }

    fn try_restore(&mut self, saved: &[u8], now: u64, unix_now: u64) -> Option<()> {
        let mut rest = saved.strip_prefix(MAGIC)?;
        let key = take::<32>(&mut rest)?;
        // A clock that went back tells nothing: then no time has passed.
        let pause = unix_now.saturating_sub(u64::from_be_bytes(take(&mut rest)?));
        let second = u64::from(u32::from_be_bytes(take(&mut rest)?)) + ROUND;
        let count = u32::from_be_bytes(take(&mut rest)?) as usize;
        let is_whole = count.checked_mul(ENTRY_LEN) == Some(rest.len());
        if !is_whole || pause > u64::from(self.max_age) {
            return None;
        }
        self.key = key;
        self.ahead = (second + pause).wrapping_sub(now);
        self.generations.clear();
        self.len = 0;
        while let Some(entry) = take(&mut rest) {
            let entry = u64::from_be_bytes(entry);
            let age = (unit(second).wrapping_sub(entry) & TIME_MASK) * UNIT;
            if entry > TIME_MASK && age <= u64::from(self.max_age) + UNIT {
                self.add(entry, second - age);
            }
        }
        Some(())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: u32 = 100;

    fn ids(count: u8) -> impl Iterator<Item = [u8; 32]> {
        (0..count).map(|id| [id; 32])
    }

    fn filled(entries: usize, count: u8, now: u64) -> ReplayMemory {
        let mut memory = ReplayMemory::new(entries, AGE);
        assert!(ids(count).all(|id| memory.remember(&id, now)));
        memory
    }

    #[test]
    fn what_was_remembered_still_is() {
        let saved = filled(4096, 200, 7).save(20, 1_000_000);
        // 13 s of its life are over; 60 more without a process.
        let restored = |now| {
            let mut memory = ReplayMemory::new(4096, AGE);
            assert!(saved.len() <= memory.most_saved());
            assert!(memory.restore(&saved, 0, 1_000_060));
            ids(200).filter(|id| !memory.remember(id, now)).count()
        };
        assert_eq!((restored(0), restored(27), restored(35)), (200, 200, 0));
    }

    #[test]
    fn it_is_saved_again_and_again() {
        let mut memory = filled(100, 8, 7);
        for run in 0..10 {
            let saved = memory.save(10, run * 10);
            memory = ReplayMemory::new(100, AGE);
            assert!(memory.restore(&saved, 1, run * 10 + 1));
        }
        // 3 s in the first run, 9 in each of the next nine, 1 before each of ten.
        let left = u64::from(AGE) - (3 + 9 * 9 + 10);
        assert!(ids(4).all(|id| !memory.remember(&id, 1 + left)));
        assert!(ids(8).skip(4).all(|id| memory.remember(&id, 9 + left)));
    }

    #[test]
    fn another_number_takes_over_the_latest() {
        let mut filled = ReplayMemory::new(5000, AGE);
        let id = |number: u32| number.to_be_bytes();
        assert!((0..5000).all(|number| filled.remember(&id(number), 7)));
        let saved = filled.save(20, 1_000_000);
        for entries in [1, 1000, 4000, 5000, 100_000] {
            let mut memory = ReplayMemory::new(entries, AGE);
            assert!(memory.restore(&saved, 0, 1_000_000));
            assert!(memory.len <= entries + entries.div_ceil(8));
            let known = |number: &u32| !memory.remember(&id(*number), 1);
            // Those of a generation are in no order.
            let known = (0..5000).rev().filter(known).count();
            assert!(known >= entries.min(5000) / 2, "{known} of {entries}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left() {
        let saved = filled(4096, 9, 7).save(20, 1_000_000);
        let restores =
            |saved: &[u8], unix_now| ReplayMemory::new(4096, AGE).restore(saved, 0, unix_now);
        assert!(restores(&saved, 1_000_100));
        assert!(restores(&saved, 5), "a clock that is not set");
        assert!(!restores(&saved, 1_000_101), "too old");
        assert!(!restores(&saved[..saved.len() - 1], 1_000_000), "cut");
        assert!(!restores(&saved[..saved.len() - 8], 1_000_000), "cut");
        assert!(!restores(b"", 1_000_000));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_file(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
            count in 0u32..40,
        ) {
            let mut memory = ReplayMemory::new(256, AGE);
            memory.restore(&noise, 5, 50);
            let head = [&MAGIC[..], &[0; 44], &count.to_be_bytes(), &noise].concat();
            memory.restore(&head, 5, 50);
            memory.remember(&[1; 32], 6);
            prop_assert!(!memory.remember(&[1; 32], 7));
        }
    }
}
