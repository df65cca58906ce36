use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use super::level::LogLevel;

/// Lets a repeated message through once a period and counts the others.
///
/// `say!(full.pass(now), Warn, "no descriptors left")` ends its line with how many.
#[derive(Debug)]
pub(crate) struct Throttle {
    period: Duration,
    last: Cell<Option<Instant>>,
    skipped: Cell<u64>,
}

/// How many of a message were skipped since the last one, to stand behind it:
/// ` (3 more before)`, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped(u64);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more before)"),
        }
    }
}

impl Throttle {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            last: Cell::new(None),
            skipped: Cell::new(0),
        }
    }

    /// `Some`: say it now.
    pub(crate) fn pass(&self, now: Instant) -> Option<Skipped> {
        let is_early = |last| now.duration_since(last) < self.period;
        if self.last.get().is_some_and(is_early) {
            self.skipped.set(self.skipped.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(Skipped(self.skipped.take()))
    }
}

/// A throttle for each of several reasons: what is said often for one hides no other.
#[derive(Debug)]
pub(crate) struct Throttles(Box<[Throttle]>);

impl Throttles {
    /// For reasons numbered from 0 to `count` − 1.
    pub(crate) fn new(count: usize, period: Duration) -> Self {
        Self((0..count).map(|_| Throttle::new(period)).collect())
    }

    /// `Some`: say it now.
    pub(crate) fn pass(&self, reason: usize, now: Instant) -> Option<Skipped> {
        self.0.get(reason)?.pass(now)
    }
}

/// The level for a line that is worth `level`, and what stands behind it. A line that
/// the throttle holds back is written as debug, for those who read everything.
pub(super) fn told(passed: Option<Skipped>, level: LogLevel) -> (LogLevel, Skipped) {
    match passed {
        Some(skipped) => (level, skipped),
        None => (LogLevel::Debug, Skipped(0)),
    }
}

/// Something that fails, and works again: each is said once in a period.
#[derive(Debug)]
pub(crate) struct Trouble {
    throttle: Throttle,
    is_told: Cell<bool>,
}

impl Trouble {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            throttle: Throttle::new(period),
            is_told: Cell::new(false),
        }
    }

    /// It has failed; `Some`: say it now.
    pub(crate) fn fails(&self, now: Instant) -> Option<Skipped> {
        let passed = self.throttle.pass(now);
        self.is_told.set(self.is_told.get() || passed.is_some());
        passed
    }

    /// It works; true: say so now, as it was said that it does not.
    pub(crate) fn works(&self) -> bool {
        self.is_told.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_period_with_the_number_skipped() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| throttle.pass(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(Skipped(0)));
        assert_eq!(at(1), None);
        assert_eq!(at(9), None);
        assert_eq!(at(10), Some(Skipped(2)));
        assert_eq!(at(11), None);
        assert_eq!(at(99), Some(Skipped(1)));
        let text = format!("late{}, late{}", Skipped(0), Skipped(1));
        assert_eq!(text, "late, late (1 more before)");
    }

    #[test]
    fn one_reason_hides_no_other() {
        let throttles = Throttles::new(2, Duration::from_secs(10));
        let now = Instant::now();
        let mut passed = [0, 1, 0, 1, 2].map(|reason| throttles.pass(reason, now).is_some());
        assert_eq!(passed, [true, true, false, false, false]);
        passed = [0, 1, 0, 1, 2].map(|reason| {
            let later = now + Duration::from_secs(10);
            throttles.pass(reason, later) == Some(Skipped(1))
        });
        assert_eq!(passed, [true, true, false, false, false]);
    }

    #[test]
    fn what_is_held_back_is_for_who_reads_everything() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let told = |seconds| {
            let passed = throttle.pass(start + Duration::from_secs(seconds));
            let (level, skipped) = told(passed, LogLevel::Warn);
            format!("{level} late{skipped}")
        };
        assert_eq!(told(0), "warn late");
        assert_eq!(told(1), "debug late");
        assert_eq!(told(10), "warn late (1 more before)");
    }

    #[test]
    fn the_end_of_what_was_told_is_told_once() {
        let trouble = Trouble::new(Duration::from_secs(10));
        let start = Instant::now();
        let fails = |seconds| trouble.fails(start + Duration::from_secs(seconds));
        assert!(!trouble.works());
        assert_eq!(fails(0), Some(Skipped(0)));
        assert_eq!(fails(1), None);
        assert!(trouble.works());
        assert!(!trouble.works());
        // It comes and goes.
        assert_eq!(fails(2), None);
        assert!(!trouble.works());
        assert_eq!(fails(12), Some(Skipped(2)));
        assert!(trouble.works());
    }
}
