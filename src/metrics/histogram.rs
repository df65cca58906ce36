use std::cell::Cell;
use std::time::Duration;

use super::counter::Counter;

/// How many values fell below each of a few fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, inclusive, growing.
    bounds: &'static [f64],
    /// One a bound, and one for what is above all of them.
    counts: Box<[Counter]>,
    sum: Cell<f64>,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: Cell::new(0.0),
        }
    }

    /// Counts a time, in seconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.inc();
            self.sum.set(self.sum.get() + value);
        }
    }

    /// Every bound with the number of values up to it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut below = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, n)| {
            below += n.get();
            (*bound, below)
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        for value in [0.0, 1.0, 1.5, 10.0, 11.0] {
            histogram.observe(value);
        }
        let buckets: Vec<_> = histogram.cumulative().collect();
        assert_eq!(buckets, [(1.0, 2), (10.0, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 23.5));
    }
}
