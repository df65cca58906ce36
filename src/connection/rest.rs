use std::time::{Duration, Instant};

use crate::net::Backoff;

const FIRST: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(60);

/// When something that many use is left alone since it has failed: 5 s, twice as long
/// after each failure that follows, up to 60 s. Pure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    backoff: Backoff,
    /// The last one, from when until when.
    last: Option<(Instant, Instant)>,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(FIRST, LAST),
            last: None,
        }
    }
}

impl Rest {
    /// How much of one is left.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let (_, end) = self.last?;
        let left = end.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// An attempt that began then has failed; how long it rests if that is news. Of
    /// attempts that were under way together one counts.
    pub(super) fn fails(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        if self.last.is_some_and(|(start, _)| began <= start) || self.left(now).is_some() {
            return None;
        }
        let wait = self.backoff.next_wait();
        self.last = Some((now, now + wait));
        Some(wait)
    }

    /// An attempt has succeeded.
    pub(super) fn works(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_is_twice_as_long_until_something_works() {
        let (mut rest, mut now) = (Rest::default(), Instant::now());
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(rest.fails(now, now), Some(seconds * SECOND));
            assert_eq!(rest.left(now), Some(seconds * SECOND));
            now += seconds * SECOND;
            assert_eq!(rest.left(now), None);
            now += SECOND;
        }
        rest.works();
        assert_eq!(rest.fails(now, now), Some(FIRST));
        rest.works();
        assert_eq!(rest.left(now), None);
    }

    #[test]
    fn attempts_that_were_under_way_together_count_once() {
        let (mut rest, begin) = (Rest::default(), Instant::now());
        let at = |seconds: u32| begin + seconds * SECOND;
        assert_eq!(rest.fails(at(1), at(2)), Some(FIRST));
        assert_eq!(rest.fails(at(1), at(3)), None);
        // It took longer than the rest.
        assert_eq!(rest.fails(at(1), at(9)), None);
        assert_eq!(rest.fails(at(8), at(9)), Some(2 * FIRST));
    }

    proptest! {
        /// However attempts end, it is tried again within a minute.
        #[test]
        fn none_is_over_a_minute(ends in prop::collection::vec((0u64..90_000, 0u64..9_000, any::<bool>()), 1..60)) {
            let (mut rest, mut now) = (Rest::default(), Instant::now());
            for (pause, took, works) in ends {
                let began = now + Duration::from_millis(pause);
                now = began + Duration::from_millis(took);
                match works {
                    true => rest.works(),
                    false => drop(rest.fails(began, now)),
                }
                prop_assert!(rest.left(now) <= Some(LAST));
                prop_assert!(!works || rest.left(now).is_none());
            }
        }
    }
}
