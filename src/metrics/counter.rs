use std::cell::Cell;
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub struct Gauge(Cell<u64>);

impl Gauge {
    pub fn inc(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub fn dec(&self) {
        debug_assert!(self.0.get() > 0, "a gauge went below zero");
        self.0.set(self.0.get().saturating_sub(1));
    }

    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Time that adds up; exposed in seconds.
#[derive(Debug, Default)]
pub struct TotalTime(Cell<Duration>);

impl TotalTime {
    pub fn add(&self, time: Duration) {
        self.0.set(self.0.get().saturating_add(time));
    }

    pub fn get(&self) -> Duration {
        self.0.get()
    }
}
