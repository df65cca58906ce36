use std::time::Duration;

use super::random::random_part;

/// The waits between attempts that fail: each twice as long as the one before it,
/// from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// How long to wait after the attempt that has failed just now.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.last);
        self.next = wait.saturating_mul(2).min(self.last).max(self.first);
        wait
    }

    /// An attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// There is a reason for the next attempt: it comes after `wait` at the latest.
    pub(crate) fn hasten(&mut self, wait: Duration) {
        self.next = self.next.min(wait);
    }

    /// From now on no wait is longer, the first one included.
    pub(crate) fn bound(&mut self, last: Duration) {
        self.last = last;
    }

    /// The wait after `doublings` of the first.
    pub(crate) fn after(&self, doublings: u32) -> Duration {
        let factor = 2u32.saturating_pow(doublings);
        self.first.saturating_mul(factor).min(self.last)
    }
}

/// How far apart those go on who began together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// As long, up to twice as long.
    Double,
    /// A tenth longer at most.
    Tenth,
    /// A quarter longer or shorter at most.
    Quarter,
}

impl Jitter {
    /// Some wait that is about as long as `wait`.
    pub(crate) fn of(self, wait: Duration) -> Duration {
        let (least, more) = self.range(wait);
        least.saturating_add(random_part(more))
    }

    /// The shortest wait, and how much longer one may be.
    fn range(self, wait: Duration) -> (Duration, Duration) {
        match self {
            Self::Double => (wait, wait),
            Self::Tenth => (wait, wait / 10),
            Self::Quarter => (wait / 4 * 3, wait / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(300);
    const LAST: Duration = Duration::from_secs(8);

    fn next(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        let mut waits = Vec::new();
        waits.resize_with(count, || backoff.next_wait().as_millis());
        waits
    }

    #[test]
    fn each_wait_is_twice_as_long_up_to_the_last() {
        let mut backoff = Backoff::new(FIRST, LAST);
        let waits = [300, 600, 1200, 2400, 4800, 8000, 8000];
        assert_eq!(next(&mut backoff, 7), waits);
        backoff.reset();
        assert_eq!(next(&mut backoff, 2), [300, 600]);
        backoff.hasten(Duration::from_millis(400));
        backoff.hasten(LAST);
        assert_eq!(next(&mut backoff, 2), [400, 800]);
        let by_count = |doublings| backoff.after(doublings).as_millis();
        assert_eq!(
            [0, 1, 4, 5, u32::MAX].map(by_count),
            [300, 600, 4800, 8000, 8000]
        );
    }

    #[test]
    fn a_bound_that_is_moved_holds_at_once() {
        let mut backoff = Backoff::new(FIRST, LAST);
        assert_eq!(next(&mut backoff, 4), [300, 600, 1200, 2400]);
        backoff.bound(Duration::from_secs(1));
        assert_eq!(next(&mut backoff, 2), [1000, 1000]);
        backoff.bound(LAST);
        assert_eq!(next(&mut backoff, 2), [1000, 2000]);
        // Shorter than the first: that one is none shorter when it is gone.
        backoff.bound(Duration::from_millis(100));
        assert_eq!(next(&mut backoff, 2), [100, 100]);
        backoff.bound(LAST);
        assert_eq!(next(&mut backoff, 2), [300, 600]);
    }

    proptest! {
        /// Whatever is done to it: no wait is over the last one, and without a reason
        /// none is shorter than the one before it.
        #[test]
        fn waits_stay_within_their_bounds(
            first in 1u64..10_000_000,
            last in 1u64..u64::MAX / 4,
            deeds in proptest::collection::vec(proptest::option::of(0u64..u64::MAX / 4), 1..100),
        ) {
            let last = Duration::from_millis(last);
            let mut backoff = Backoff::new(Duration::from_millis(first), last);
            let mut before = Duration::ZERO;
            for deed in deeds {
                if let Some(sooner) = deed {
                    backoff.hasten(Duration::from_millis(sooner));
                    before = Duration::ZERO;
                }
                let wait = backoff.next_wait();
                prop_assert!(wait <= last && wait >= before, "{wait:?} after {before:?}");
                before = wait;
            }
        }

        #[test]
        fn jitter_stays_within_its_bounds(millis in 0u64..u64::MAX / 8) {
            let wait = Duration::from_millis(millis);
            let rounding = Duration::from_nanos(8);
            let bounds = [
                (Jitter::Double, wait, wait * 2),
                (Jitter::Tenth, wait, wait + wait / 10),
                (Jitter::Quarter, (wait / 4 * 3), wait / 4 * 5 + rounding),
            ];
            for (jitter, least, most) in bounds {
                let (shortest, more) = jitter.range(wait);
                prop_assert!(shortest == least && shortest + more <= most, "{jitter:?}");
                let chosen = jitter.of(wait);
                prop_assert!(chosen >= least && chosen <= most, "{jitter:?}: {chosen:?}");
            }
        }
    }

    #[test]
    fn those_who_began_together_go_on_apart() {
        let waits: std::collections::HashSet<_> = (0..32).map(|_| Jitter::Tenth.of(LAST)).collect();
        assert!(waits.len() > 16);
    }
}
