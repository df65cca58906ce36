//! Addresses from where somebody has proven a secret lately.

use std::hash::{BuildHasher, RandomState};

use super::fair_queue::Origin;

/// Addresses that are remembered at a time, in sets of [`WAYS`].
const SETS: usize = 1024;
const WAYS: usize = 4;

/// Seconds for which an address is remembered: people come back the next day.
const MEMORY: u32 = 24 * 3600;

/// Addresses that have proven themselves lately, in at most some 50 KiB.
///
/// A set that is full forgets the one that was seen longest ago. Only who proves
/// himself can push out others, and only a few of them.
pub(crate) struct Acquaintances {
    hasher: RandomState,
    /// Empty until the first one.
    sets: Vec<Option<Box<[Known; WAYS]>>>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// Part of the hash of the address; 0 is a free place.
    origin: u32,
    /// Seconds, of the clock of the caller.
    seen: u32,
}

impl Default for Acquaintances {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            sets: Vec::new(),
        }
    }
}

impl Acquaintances {
    /// It has proven itself. `now` in seconds of a clock that does not go back.
    pub(crate) fn meet(&mut self, origin: Origin, now: u64) {
        let (set, origin) = self.place(origin);
        if self.sets.is_empty() {
            self.sets = vec![None; SETS];
        }
        let known = self.sets.get_mut(set).and_then(|set| {
            let places = set.get_or_insert_default().iter_mut();
            places.min_by_key(|known| (known.origin != origin, known.origin != 0, known.seen))
        });
        if let Some(known) = known {
            let seen = u32::try_from(now).unwrap_or(u32::MAX);
            *known = Known { origin, seen };
        }
    }

    pub(crate) fn knows(&self, origin: Origin, now: u64) -> bool {
        let (set, origin) = self.place(origin);
        let set = self.sets.get(set).and_then(Option::as_ref);
        let mut known = set.into_iter().flat_map(|set| set.iter());
        let known = known.find(|known| known.origin == origin);
        known.is_some_and(|known| now.saturating_sub(known.seen.into()) < MEMORY.into())
    }

    fn place(&self, origin: Origin) -> (usize, u32) {
        let hash = self.hasher.hash_one(origin);
        (hash as usize % SETS, (hash >> 32) as u32 | 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::of(IpAddr::V4((0x0a00_0000 + number).into()))
    }

    #[test]
    fn who_has_come_lately_is_known() {
        let mut known = Acquaintances::default();
        assert!(!known.knows(origin(1), 5));
        known.meet(origin(1), 5);
        assert!(known.knows(origin(1), 5 + 24 * 3600 - 1) && !known.knows(origin(2), 5));
        assert!(!known.knows(origin(1), 5 + 24 * 3600));
    }

    #[test]
    fn the_latest_stay() {
        let mut known = Acquaintances::default();
        for number in 0..100_000 {
            known.meet(origin(number), number.into());
        }
        let knows = |number: &u32| known.knows(origin(*number), 80_000);
        assert!((99_500..100_000).filter(knows).count() > 450);
        assert!((0..90_000).filter(knows).count() < 900);
    }
}
