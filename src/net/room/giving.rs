//! What is free, given to one after another.

use std::time::Instant;

use super::claim::Claim;
use super::parties::Counts;
use super::{Id, Room};

/// What is left for the next ones.
pub(crate) struct Giving {
    available: usize,
    for_small: usize,
    /// Of `available`: not for packets that have not begun.
    kept: usize,
    given: usize,
    given_for: Counts,
}

/// Why somebody cannot have all his rest now.
pub(crate) enum Short {
    /// Others of his destination have to make room.
    There,
    /// So many chunks would have to be free.
    Everywhere(usize),
}

impl Room {
    pub(super) fn giving(&self, free: usize, now: Instant) -> Giving {
        Giving {
            available: self.available_to(false, free),
            for_small: self.available_to(true, free),
            kept: self.kept(now),
            given: 0,
            given_for: Counts::default(),
        }
    }

    /// Gives `claim` all its rest, if there is room beside what was given.
    pub(super) fn give(&self, giving: &mut Giving, id: Id, claim: &Claim) -> Result<(), Short> {
        let given_there = giving.given_for.get(claim.to);
        let begins = claim.held == 0 && !claim.is_small;
        let (kept, kept_there) = match begins {
            true => (
                self.kept_from(id, giving.kept),
                self.kept_there(id, claim.to),
            ),
            false => (0, 0),
        };
        let left = self.left_for(claim.to, claim.held);
        let wanted_there = (given_there + claim.rest).saturating_add(kept_there);
        if !claim.is_small && wanted_there > left {
            return Err(Short::There);
        }
        let most = match claim.is_small {
            true => giving.for_small,
            false => giving.available,
        };
        let wanted = claim.rest + kept;
        if giving.given + wanted > most {
            return Err(Short::Everywhere(wanted));
        }
        giving.given += claim.rest;
        giving.given_for.set(claim.to, given_there + claim.rest);
        Ok(())
    }
}
