//! Who has shown wrong tokens. Nobody guesses one, however often; but who tries is to cost
//! little, and who lets a program try an old one is to be told.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::guard::half_open::Origin;

pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Wrong ones of an address in that time; more are told to wait.
const MAX_WRONG: u32 = 20;

/// Addresses that are remembered; of more the one that began first is forgotten.
const MAX_ORIGINS: usize = 64;

#[derive(Default)]
pub(super) struct Guesses(RefCell<Vec<Guesser>>);

struct Guesser {
    origin: Origin,
    /// Of its time.
    began: Instant,
    wrong: u32,
}

impl Guesses {
    pub(crate) fn are_many(&self, origin: Origin, now: Instant) -> bool {
        let mut all = self.0.borrow_mut();
        all.retain(|one| now.saturating_duration_since(one.began) < WINDOW);
        let mut all = all.iter();
        all.any(|one| one.origin == origin && one.wrong >= MAX_WRONG)
    }

    pub(crate) fn note(&self, origin: Origin, now: Instant) {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.iter_mut().find(|one| one.origin == origin) {
            known.wrong += 1;
            return;
        }
        if all.len() >= MAX_ORIGINS {
            all.remove(0);
        }
        all.push(Guesser {
            origin,
            began: now,
            wrong: 1,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn who_guesses_waits_for_a_minute_and_others_do_not() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..MAX_WRONG {
            assert!(!guesses.are_many(origin(1), start));
            guesses.note(origin(1), start);
        }
        assert!(guesses.are_many(origin(1), start));
        assert!(!guesses.are_many(origin(2), start));
        assert!(!guesses.are_many(origin(1), start + WINDOW));
    }

    #[test]
    fn a_crowd_is_remembered_up_to_a_bound() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..1000 {
            guesses.note(origin(number), now);
        }
        assert_eq!(guesses.0.borrow().len(), MAX_ORIGINS);
    }
}
