//! The memory in a file, from one run to the next.
//!
//! All numbers big-endian: the magic, the key of the hash (32), seconds since
//! 1970 (8), the same instant on the memory's clock (4), how many lines there
//! are (4); then every line that is used: its number (4) and its entries
//! (8 × 8), which are kept as they are.

use super::{LINES_PER_PAGE, ReplayMemory, TIME_MASK, WAYS};

const MAGIC: &[u8; 8] = b"replays1";

const HEAD_LEN: usize = 8 + 32 + 8 + 4 + 4;
const LINE_LEN: usize = 4 + 8 * WAYS;

impl ReplayMemory {
    /// The longest that [`save`](Self::save) gives, in bytes.
    pub fn most_saved(&self) -> usize {
        HEAD_LEN + self.lines * LINE_LEN
    }

    /// Everything remembered at `now`, which is `unix_now` in seconds since
    /// 1970.
    pub fn save(&self, now: u64, unix_now: u64) -> Vec<u8> {
        let mut saved = MAGIC.to_vec();
        saved.extend(self.key);
        saved.extend(unix_now.to_be_bytes());
        saved.extend((self.second(now) as u32).to_be_bytes());
        saved.extend((self.lines as u32).to_be_bytes());
        for (first, page) in (0u32..).step_by(LINES_PER_PAGE).zip(&self.pages) {
            for (number, line) in (first..).zip(page.iter().flat_map(|page| page.iter())) {
                if line.0.iter().any(|entry| *entry != 0) {
                    saved.extend(number.to_be_bytes());
                    saved.extend(line.0.iter().flat_map(|entry| entry.to_be_bytes()));
                }
            }
        }
        saved
    }

    /// Takes over what an earlier run saved, at its beginning; false if that is
    /// damaged, of another size, or older than anything is remembered for.
    pub fn restore(&mut self, saved: &[u8], now: u64, unix_now: u64) -> bool {
        self.try_restore(saved, now, unix_now).is_some()
    }

    fn try_restore(&mut self, saved: &[u8], now: u64, unix_now: u64) -> Option<()> {
        let mut rest = saved.strip_prefix(MAGIC)?;
        let key = take::<32>(&mut rest)?;
        // A clock that went back tells nothing: then no time has passed.
        let pause = unix_now.saturating_sub(u64::from_be_bytes(take(&mut rest)?));
        let second = u64::from(u32::from_be_bytes(take(&mut rest)?));
        let lines = u32::from_be_bytes(take(&mut rest)?) as usize;
        let is_whole = rest.len().is_multiple_of(LINE_LEN);
        if lines != self.lines || !is_whole || pause > u64::from(self.max_age) {
            return None;
        }
        self.key = key;
        self.begin(now, second.wrapping_add(pause) & TIME_MASK);
        while let Some(number) = take(&mut rest) {
            let line = self.numbered_mut(u32::from_be_bytes(number) as usize)?;
            for entry in line {
                *entry = u64::from_be_bytes(take(&mut rest)?);
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
        assert_eq!((restored(0), restored(27), restored(28)), (200, 200, 0));
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
        assert!(ids(8).skip(4).all(|id| memory.remember(&id, 2 + left)));
    }

    #[test]
    fn what_does_not_fit_is_left() {
        let saved = filled(4096, 9, 7).save(20, 1_000_000);
        let restores = |saved: &[u8], entries, unix_now| {
            ReplayMemory::new(entries, AGE).restore(saved, 0, unix_now)
        };
        assert!(restores(&saved, 4096, 1_000_100));
        assert!(restores(&saved, 4096, 5), "a clock that is not set");
        assert!(!restores(&saved, 4096, 1_000_101), "too old");
        assert!(!restores(&saved, 4000, 1_000_000), "another size");
        assert!(!restores(&saved[..saved.len() - 1], 4096, 1_000_000), "cut");
        assert!(!restores(b"", 4096, 1_000_000));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_file(
            noise in proptest::collection::vec(any::<u8>(), 0..400),
            lines in 0u32..40,
        ) {
            let mut memory = ReplayMemory::new(256, AGE);
            memory.restore(&noise, 5, 50);
            let head = [&MAGIC[..], &[0; 44], &lines.to_be_bytes(), &noise].concat();
            memory.restore(&head, 5, 50);
            memory.remember(&[1; 32], 6);
            prop_assert!(!memory.remember(&[1; 32], 7));
        }
    }
}
