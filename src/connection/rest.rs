//! For how long what failed is left alone. Pure.

use std::time::{Duration, Instant};

use crate::metrics::RouteResult;

const MINUTE: Duration = Duration::from_secs(60);

/// For how long something rests, by how it failed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) until: Instant,
    pub(crate) why: RouteResult,
    /// When it was found to fail, if it did not rest then.
    since: Instant,
    /// Times in a row that it was found no better after a rest.
    again: u8,
}

/// The first rest, and the longest one: each that follows is twice as long.
fn lengths(why: RouteResult) -> (Duration, Duration) {
    let seconds = Duration::from_secs;
    match why {
        RouteResult::Blocked | RouteResult::Filtered => (10 * MINUTE, 60 * MINUTE),
        RouteResult::Intercepted | RouteResult::Loop => (10 * MINUTE, 10 * MINUTE),
        RouteResult::NotServed => (60 * MINUTE, 60 * MINUTE),
        RouteResult::Starves | RouteResult::FallsSilent => (10 * MINUTE, 10 * MINUTE),
        RouteResult::Useless | RouteResult::EndsEarly | RouteResult::Ill => (MINUTE, MINUTE),
        RouteResult::ProxyIll => (seconds(5), MINUTE),
        RouteResult::Opened | RouteResult::CutShort | RouteResult::Queued => {
            (Duration::ZERO, Duration::ZERO)
        }
    }
}

impl Rest {
    /// It has failed; `before` is its last rest.
    pub(crate) fn after(before: Option<Self>, why: RouteResult, now: Instant) -> Self {
        let (first, longest) = lengths(why);
        let Some(before) = before else {
            let until = now + first;
            return Self {
                until,
                why,
                since: now,
                again: 0,
            };
        };
        if before.is_on(now) {
            // It was tried for want of another. What fails in the same way does not wait
            // the longer for being tried often.
            let until = match before.why == why {
                true => before.until,
                false => before.until.max(now + first),
            };
            return Self {
                until,
                why,
                ..before
            };
        }
        let again = match before.why == why {
            true => before.again.saturating_add(1),
            false => 0,
        };
        let length = first.saturating_mul(1 << again.min(10)).min(longest);
        Self {
            until: now + length,
            why,
            since: now,
            again,
        }
    }

    pub(crate) fn is_on(self, now: Instant) -> bool {
        now < self.until
    }

    /// Whether that an attempt of then has failed is no news: of those that were under way
    /// together one counts.
    pub(crate) fn covers(self, began: Instant, now: Instant) -> bool {
        began <= self.since || self.is_on(now)
    }

    pub(crate) fn left(self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

/// More than what routes lead to: addresses of Telegram's, and who stands before it.
const MAX_RESTS: usize = 64;

/// Rests of what several DCs or clients use, as addresses. Beyond [`MAX_RESTS`] the one
/// that failed longest ago is forgotten.
pub(crate) struct Rests<P>(Vec<(P, Rest)>);

impl<P> Default for Rests<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P: PartialEq> Rests<P> {
    pub(crate) fn failed(&mut self, what: P, why: RouteResult, now: Instant) {
        let before = self.remove(&what);
        if self.0.len() >= MAX_RESTS {
            self.0.remove(0);
        }
        self.0.push((what, Rest::after(before, why, now)));
    }

    pub(crate) fn works(&mut self, what: &P) {
        self.remove(what);
    }

    /// For how long it still rests.
    pub(crate) fn left(&self, what: &P, now: Instant) -> Duration {
        let rest = self.0.iter().find(|(other, _)| other == what);
        rest.map_or(Duration::ZERO, |(_, rest)| rest.left(now))
    }

    fn remove(&mut self, what: &P) -> Option<Rest> {
        let at = self.0.iter().position(|(other, _)| other == what)?;
        Some(self.0.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Reason;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rests_get_longer_up_to_a_bound() {
        for (why, expected) in [
            (RouteResult::Blocked, &[600, 1200, 2400, 3600, 3600][..]),
            (RouteResult::ProxyIll, &[5, 10, 20, 40, 60, 60]),
            (RouteResult::Useless, &[60, 60, 60]),
            (RouteResult::Starves, &[600, 600]),
        ] {
            let mut now = Instant::now();
            let mut rest = None;
            for seconds in expected {
                let next = Rest::after(rest, why, now);
                assert_eq!(next.left(now).as_secs(), *seconds, "{why:?}");
                // Tried for want of another.
                let same = Rest::after(Some(next), why, now + SECOND);
                assert_eq!(same, next);
                now = next.until;
                assert!(!next.is_on(now));
                rest = Some(next);
            }
        }
    }

    #[test]
    fn attempts_that_were_under_way_together_count_once() {
        let begin = Instant::now();
        let at = |seconds: u32| begin + seconds * SECOND;
        let rest = Rest::after(None, RouteResult::ProxyIll, at(2));
        assert!(rest.covers(at(1), at(3)));
        assert!(rest.covers(at(1), at(9)), "it took longer than the rest");
        assert!(rest.covers(at(3), at(4)), "tried for want of another");
        assert!(!rest.covers(at(8), at(9)));
    }

    #[test]
    fn another_failure_may_lengthen_a_rest_and_never_shortens_it() {
        let now = Instant::now();
        let short = Rest::after(None, RouteResult::Useless, now);
        let long = Rest::after(Some(short), RouteResult::Starves, now + SECOND);
        assert_eq!(long.left(now), 601 * SECOND);
        let still = Rest::after(Some(long), RouteResult::Useless, now + SECOND);
        assert_eq!(still.until, long.until);
        assert_eq!(still.why, RouteResult::Useless);
    }

    #[test]
    fn what_failed_longest_ago_is_forgotten() {
        let mut rests = Rests::default();
        let now = Instant::now();
        for place in 0..1000 {
            rests.failed(place, RouteResult::Useless, now);
            rests.failed(0, RouteResult::Useless, now);
        }
        assert_eq!(rests.0.len(), MAX_RESTS);
        assert_eq!(rests.left(&0, now), MINUTE);
        assert_eq!(rests.left(&1, now), Duration::ZERO);
        rests.works(&0);
        assert_eq!(rests.left(&0, now), Duration::ZERO);
        assert_eq!(rests.left(&999, now + SECOND), 59 * SECOND);
    }

    proptest! {
        #[test]
        fn nothing_rests_for_more_than_an_hour(
            failures in proptest::collection::vec((0..RouteResult::ALL.len(), 0..4000u64), 1..40),
        ) {
            let mut now = Instant::now();
            let mut rest = None;
            for (why, pause) in failures {
                now += Duration::from_secs(pause);
                let next = Rest::after(rest, RouteResult::ALL[why], now);
                prop_assert!(next.left(now) <= 60 * MINUTE);
                prop_assert!(rest.is_none_or(|rest: Rest| next.until >= rest.until.min(now)));
                rest = Some(next);
            }
        }
    }
}
