use std::cell::Cell;
use std::time::Duration;

use super::counter::Counter;
use super::decimal::{Decimal, MICROS};

/// How many values fell below each of a few fixed bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Upper bounds, inclusive, growing.
    bounds: &'static [u64],
    /// What values and bounds are counted in, as places of a [`Decimal`].
    places: u32,
    /// One a bound, and one for what is above all of them.
    counts: Box<[Counter]>,
    sum: Cell<u64>,
}

impl Histogram {
    /// Of times; bounds are in microseconds.
    pub(super) fn of_times(bounds: &'static [u64]) -> Self {
        Self::new(bounds, MICROS)
    }

    /// Of whole numbers.
    pub(super) fn of_counts(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 0)
    }

    fn new(bounds: &'static [u64], places: u32) -> Self {
        Self {
            bounds,
            places,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: Cell::new(0),
        }
    }

    pub(crate) fn observe_time(&self, time: Duration) {
        self.observe(time.as_micros() as u64);
    }

    /// Counts a number, or a time in microseconds.
    pub(crate) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.inc();
            self.sum.set(self.sum.get().wrapping_add(value));
        }
    }

    /// Every bound with the number of values up to it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Decimal, u64)> {
        let mut below = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, n)| {
            below += n.get();
            (self.shown(*bound), below)
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }

    pub(super) fn sum(&self) -> Decimal {
        self.shown(self.sum.get())
    }

    fn shown(&self, value: u64) -> Decimal {
        Decimal {
            value,
            places: self.places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it() {
        let histogram = Histogram::of_counts(&[10, 100]);
        for value in [0, 10, 15, 100, 110] {
            histogram.observe(value);
        }
        let buckets = histogram.cumulative();
        let buckets: Vec<_> = buckets.map(|(bound, below)| (bound.value, below)).collect();
        assert_eq!(buckets, [(10, 2), (100, 4)]);
        assert_eq!((histogram.count(), histogram.sum().value), (5, 235));
    }
}
