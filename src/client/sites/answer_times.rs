//! How long a site takes to answer, so that we take as long.

use std::time::Duration;

/// Of so many answers, the latest.
const KEPT: usize = 16;

/// A site that answers faster, half of the time, is as fast as we are.
const WORTH_A_WAIT: Duration = Duration::from_millis(2);

/// However slow its site is, no client waits longer.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// How long strangers wait for a site's answer, from their hello on.
#[derive(Default)]
pub(super) struct AnswerTimes {
    /// In microseconds.
    latest: heapless::Vec<u32, KEPT>,
    next: usize,
}

impl AnswerTimes {
    pub(crate) fn add(&mut self, time: Duration) {
        let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        if self.latest.push(time).is_err()
            && let Some(oldest) = self.latest.get_mut(self.next)
        {
            *oldest = time;
            self.next = (self.next + 1) % KEPT;
        }
    }

    #[cfg(feature = "check")]
    pub(crate) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// One of them, by `random`; the slowest quarter is left out, so that what
    /// slows a site down now and then slows no client.
    pub(crate) fn draw(&self, random: u32) -> Option<Duration> {
        let mut sorted = self.latest.clone();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        let usual = (3 * sorted.len()).div_ceil(4);
        let drawn = *sorted.get(random as usize % usual)?;
        let is_worth_it = Duration::from_micros(median.into()) > WORTH_A_WAIT;
        is_worth_it.then(|| Duration::from_micros(drawn.into()).min(MAX_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> AnswerTimes {
        let mut all = AnswerTimes::default();
        let times = times.into_iter().map(Duration::from_millis);
        times.for_each(|time| all.add(time));
        all
    }

    fn drawn(times: &AnswerTimes) -> Vec<u64> {
        let mut drawn: Vec<_> = (0..1000)
            .filter_map(|random| Some(times.draw(random)?.as_millis() as u64))
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    #[test]
    fn only_usual_times_of_a_slow_site_are_drawn() {
        assert_eq!(drawn(&of([])), [0; 0]);
        assert_eq!(drawn(&of([60])), [60]);
        assert_eq!(drawn(&of([60, 61, 62, 900])), [60, 61, 62]);
        assert_eq!(drawn(&of((0..16).map(|n| 50 + n))), Vec::from_iter(50..62));
        // As fast as we are, but for once.
        assert_eq!(drawn(&of([0, 1, 2, 400])), [0; 0]);
        assert_eq!(drawn(&of([3000; 20])), [500]);
        assert_eq!(drawn(&of([u64::MAX / 2])), [500]);
    }

    #[test]
    fn the_latest_count() {
        let mut times = of((0..40).map(|n| 100 + n));
        assert_eq!(drawn(&times), Vec::from_iter(124..136));
        (0..16).for_each(|_| times.add(Duration::from_millis(1)));
        assert_eq!(drawn(&times), [0; 0]);
    }
}
