//! What each address has taken today of what is remembered for ever.

use std::hash::{BuildHasher, RandomState};

use crate::guard::fair_queue::Origin;

/// Addresses that are counted at a time, in sets of [`WAYS`].
const SETS: usize = 1024;
const WAYS: usize = 4;

const DAY: u32 = 24 * 3600;

/// What addresses have taken today of places that none ever gives back, in at most
/// some 60 KiB.
///
/// A set that is full forgets the one that has taken least. Only who proves himself
/// is counted.
pub(crate) struct Shares {
    hasher: RandomState,
    /// Empty until the first one.
    sets: Vec<Option<Box<[Share; WAYS]>>>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    /// Part of the hash of the address; 0 is a free place.
    origin: u32,
    /// When its day began, in seconds of the clock of the caller.
    since: u32,
    taken: u16,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            sets: Vec::new(),
        }
    }
}

impl Shares {
    /// Places that an address may take in a day.
    pub(crate) const A_DAY: u16 = 64;

    /// May it take one more? Then it has. `now` in seconds of a clock that does not
    /// go back.
    pub(crate) fn take(&mut self, origin: Origin, now: u64) -> bool {
        let hash = self.hasher.hash_one(origin);
        let (set, origin) = (hash as usize % SETS, (hash >> 32) as u32 | 1);
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        if self.sets.is_empty() {
            self.sets = vec![None; SETS];
        }
        let is_over = |share: &Share| now.saturating_sub(share.since) >= DAY;
        let share = self.sets.get_mut(set).and_then(|set| {
            let places = set.get_or_insert_default().iter_mut();
            places.min_by_key(|share| {
                let taken = if is_over(share) { 0 } else { share.taken };
                (share.origin != origin, share.origin != 0, taken)
            })
        });
        let Some(share) = share else { return false };
        if share.origin != origin || is_over(share) {
            *share = Share {
                origin,
                since: now,
                taken: 0,
            };
        }
        let may_take = share.taken < Self::A_DAY;
        share.taken += u16::from(may_take);
        may_take
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
    fn an_address_has_its_share_of_a_day() {
        let mut shares = Shares::default();
        let mut taken = |number, now| {
            (0..100)
                .filter(|_| shares.take(origin(number), now))
                .count()
        };
        assert_eq!([taken(1, 5), taken(2, 5), taken(1, 80_000)], [64, 64, 0]);
        assert_eq!(taken(1, 5 + 24 * 3600), 64);
    }

    #[test]
    fn others_push_out_who_has_taken_least() {
        let mut shares = Shares::default();
        while shares.take(origin(0), 5) {}
        let others = (1..100_000).filter(|number| shares.take(origin(*number), 6));
        assert_eq!(others.count(), 99_999);
        assert!(!shares.take(origin(0), 7));
    }
}
