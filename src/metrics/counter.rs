use std::cell::Cell;
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Gauge(Cell<u64>);

impl Gauge {
    pub(crate) fn inc(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn dec(&self) {
        debug_assert!(self.0.get() > 0, "a gauge went below zero");
        self.0.set(self.0.get().saturating_sub(1));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.set(value);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Time that adds up; exposed in seconds.
#[derive(Debug, Default)]
pub(crate) struct TotalTime(Cell<Duration>);

impl TotalTime {
    pub(crate) fn add(&self, time: Duration) {
        self.0.set(self.0.get().saturating_add(time));
    }

    pub(crate) fn get(&self) -> Duration {
        self.0.get()
    }
}
