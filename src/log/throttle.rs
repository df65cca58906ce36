use std::cell::Cell;
use std::time::{Duration, Instant};

/// Lets a repeated message through once a period and counts the others.
///
/// ```
/// # use smol_mtproxy::log::Throttle;
/// # use std::time::Duration;
/// let full = Throttle::new(Duration::from_secs(60));
/// if let Some(more) = full.pass() {
///     smol_mtproxy::warn!("no descriptors left ({more} more times before)");
/// }
/// assert_eq!(full.pass(), None);
/// ```
#[derive(Debug)]
pub struct Throttle {
    period: Duration,
    last: Cell<Option<Instant>>,
    skipped: Cell<u64>,
}

impl Throttle {
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: Cell::new(None),
            skipped: Cell::new(0),
        }
    }

    /// `Some(n)`: say it now; it was skipped `n` times since the last time.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let is_early = |last| now.duration_since(last) < self.period;
        if self.last.get().is_some_and(is_early) {
            self.skipped.set(self.skipped.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.skipped.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_period_with_the_number_skipped() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| throttle.pass_at(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!(at(1), None);
        assert_eq!(at(9), None);
        assert_eq!(at(10), Some(2));
        assert_eq!(at(11), None);
        assert_eq!(at(99), Some(1));
    }
}
