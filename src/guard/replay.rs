mod kept;

use std::hash::{BuildHasher, RandomState};

use smol_mtproxy_ciphers::hmac_sha256;

/// Entries of one line: 64 bytes, what a processor fetches at once.
const WAYS: usize = 8;

/// Lines that are allocated together: what, with the bytes of the allocator and
/// for the alignment, fits into a page of memory.
const LINES_PER_PAGE: usize = 62;

/// Most lines that 24 bits of the hash can number.
const MAX_LINES: usize = 1 << 24;

/// Seconds are kept in 24 bits: 194 days.
const TIME_MASK: u64 = (1 << 24) - 1;

/// Remembers handshakes, so that a recorded one is noticed when it comes again
/// (`doc/protocol.md` §7).
///
/// A fixed number of lines of eight entries; the hash of an id names its line.
/// A full line forgets its oldest entry. An entry is 40 bits of the hash and
/// the time in 24 bits; the hash is keyed at random, so that nobody outside can
/// choose ids that push others out or look like them.
pub struct ReplayMemory {
    key: [u8; 32],
    /// Made when the first of their lines is used: not every allocator's zeroed
    /// memory is free until it is touched.
    pages: Vec<Option<Box<[Line; LINES_PER_PAGE]>>>,
    lines: usize,
    wanted: usize,
    max_age: u32,
    /// The time of the first id, and the second that it has on our own clock.
    epoch: Option<(u64, u64)>,
}

/// Entries in the order of their last sighting, latest first; zero: free.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; WAYS]);

impl ReplayMemory {
    /// Room for `entries` ids (rounded up to whole lines), each forgotten after
    /// `max_age` seconds (at most 194 days). The memory is taken as it fills.
    pub fn new(entries: usize, max_age: u32) -> Self {
        let lines = entries.div_ceil(WAYS).clamp(1, MAX_LINES);
        let pages = lines.div_ceil(LINES_PER_PAGE);
        Self {
            key: random_key(),
            pages: std::iter::repeat_with(|| None).take(pages).collect(),
            lines,
            wanted: entries,
            max_age: max_age.min(TIME_MASK as u32 - 1),
            epoch: None,
        }
    }

    /// The `entries` that it was made for.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    pub fn capacity(&self) -> usize {
        self.lines * WAYS
    }

    /// Remembers `id` (48 bytes of an obfuscated header or the 32-byte random
    /// of a ClientHello) seen at `now` (seconds of any clock that does not go
    /// back); `false` if it was there already.
    pub fn remember(&mut self, id: &[u8], now: u64) -> bool {
        if self.epoch.is_none() {
            self.begin(now, 1);
        }
        let hash = self.hash(id);
        let second = self.second(now);
        let max_age = u64::from(self.max_age);
        let fingerprint = hash & !TIME_MASK;
        let line = self.line_mut(hash);
        let same = |known: &u64| *known != 0 && *known & !TIME_MASK == fingerprint;
        let place = line.iter().position(same);
        let end = place.map_or(WAYS, |place| place + 1);
        if let Some(later) = line.get_mut(..end) {
            later.rotate_right(1);
        }
        let Some(first) = line.first_mut() else {
            return true;
        };
        let then = std::mem::replace(first, fingerprint | second.max(1)) & TIME_MASK;
        place.is_none() || second.wrapping_sub(then) & TIME_MASK > max_age
    }

    fn hash(&self, id: &[u8]) -> u64 {
        let hash = hmac_sha256(&self.key, &[id]);
        hash.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// Counts from `second` at `now`.
    fn begin(&mut self, now: u64, second: u64) {
        self.epoch = Some((now, second));
    }

    fn second(&self, now: u64) -> u64 {
        let (begun, second) = self.epoch.unwrap_or((now, 1));
        (now.saturating_sub(begun) + second) & TIME_MASK
    }

    fn line_mut(&mut self, hash: u64) -> &mut [u64] {
        // 24 bits that the fingerprint does not have, scaled to the lines.
        let line = (((hash & TIME_MASK) * self.lines as u64) >> 24) as usize;
        self.numbered_mut(line).unwrap_or_default()
    }

    fn numbered_mut(&mut self, line: usize) -> Option<&mut [u64]> {
        let page = self.pages.get_mut(line / LINES_PER_PAGE)?;
        let page = page.get_or_insert_with(|| Box::new([Line::default(); LINES_PER_PAGE]));
        let Line(entries) = page.get_mut(line % LINES_PER_PAGE)?;
        Some(entries)
    }
}

/// Of std's own randomness, whose hash itself cannot be kept for another run.
fn random_key() -> [u8; 32] {
    let random = RandomState::new();
    let mut key = [0; 32];
    for (number, part) in key.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&random.hash_one(number).to_be_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_one_cache_line() {
        let mut memory = ReplayMemory::new(1000, 10);
        assert_eq!(memory.capacity(), 1000);
        for hash in [0, 77, u64::MAX] {
            let line = memory.line_mut(hash);
            assert_eq!(line.len(), WAYS);
            assert_eq!(line.as_ptr().align_offset(64), 0);
        }
    }

    #[test]
    fn a_quarter_full_it_forgets_almost_nothing() {
        let mut memory = ReplayMemory::new(1 << 14, 1000);
        let ids: Vec<[u8; 48]> = (0..1u32 << 12)
            .map(|n| {
                let mut id = [7; 48];
                id[..4].copy_from_slice(&n.to_le_bytes());
                id
            })
            .collect();
        assert!(ids.iter().all(|id| memory.remember(id, 5)));
        let forgotten = ids.iter().filter(|id| memory.remember(&id[..], 6)).count();
        assert!(forgotten < ids.len() / 100, "{forgotten} forgotten");
    }

    /// One line, the ids in the order of their last sighting.
    #[derive(Default)]
    struct Model {
        seen: HashMap<u8, u64>,
        order: VecDeque<u8>,
    }

    impl Model {
        fn remember(&mut self, id: u8, now: u64, max_age: u64) -> bool {
            let fresh = self.seen.get(&id).is_none_or(|then| now - then > max_age);
            self.order.retain(|known| *known != id);
            self.order.push_back(id);
            self.seen.insert(id, now);
            if self.order.len() > WAYS
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
            fresh
        }
    }

    proptest! {
        /// With one line the memory is a queue of the eight latest ids.
        #[test]
        fn one_line_is_a_queue(
            steps in proptest::collection::vec((0u8..14, 1u64..9), 1..200),
            max_age in 1u32..60,
        ) {
            let mut memory = ReplayMemory::new(1, max_age);
            let mut model = Model::default();
            let mut now = 1_000_000;
            for (id, pause) in steps {
                now += pause;
                prop_assert_eq!(
                    memory.remember(&[id; 32], now),
                    model.remember(id, now, u64::from(max_age))
                );
            }
        }

        /// Whatever the line, the eight latest ids are known and no other
        /// id is taken for a known one.
        #[test]
        fn the_latest_are_known(
            entries in 1usize..500,
            ids in proptest::collection::hash_set(any::<[u8; 32]>(), 1..300),
        ) {
            let mut memory = ReplayMemory::new(entries, 100);
            let ids: Vec<_> = ids.into_iter().collect();
            for id in &ids {
                prop_assert!(memory.remember(id, 1));
            }
            for id in ids.iter().rev().take(WAYS) {
                prop_assert!(!memory.remember(id, 1));
            }
        }

        #[test]
        fn time_may_wrap(id in any::<[u8; 32]>(), late in 0u64..1 << 40) {
            let mut memory = ReplayMemory::new(100, 50);
            memory.remember(&[0; 32], 3);
            prop_assert!(memory.remember(&id, 3 + late));
            prop_assert!(!memory.remember(&id, 3 + late + 49));
            prop_assert!(memory.remember(&id, 3 + late + 49 + 60));
        }
    }
}
