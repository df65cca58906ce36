//! How much one app, one address and all together may have.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::millis;

/// Streams of one web session.
pub(super) const STREAMS_OF_SESSION: usize = 128;

/// Those and others that the app has closed and whose clients are about to end.
pub(super) const ENDS_OF_SESSION: usize = 2 * STREAMS_OF_SESSION;

/// Streams that one web session opens: 600 at once, and 10 a second.
pub(super) const OPENINGS: Rate = Rate {
    burst: 600,
    a_second: 10,
};

/// Web sessions that begin, of all addresses.
pub(super) const BEGINNINGS: Rate = Rate {
    burst: 1200,
    a_second: 20,
};

/// Web sessions that one address (IPv6: /64) begins.
pub(super) const BEGINNINGS_OF_ADDRESS: Rate = Rate {
    burst: 120,
    a_second: 2,
};

/// Web sessions, where so many clients may be there.
pub(super) fn sessions(max_clients: usize) -> usize {
    (max_clients / 4).clamp(32, 4096)
}

/// Streams of all web sessions: as many as clients, and those that have yet to prove that
/// they are.
pub(super) fn streams(max_clients: usize) -> usize {
    max_clients + (max_clients / 8).clamp(64, 1024)
}

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// At once.
    pub(crate) burst: u32,
    pub(crate) a_second: u32,
}

/// How often it still may.
pub(super) struct Bucket {
    /// In thousandths.
    left: u64,
    since: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            left: u64::from(rate.burst) * 1000,
            since: now,
        }
    }

    /// Whether it may happen now; then it does.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let passed = millis(now.saturating_duration_since(self.since));
        let back = passed.saturating_mul(rate.a_second.into());
        self.left = self
            .left
            .saturating_add(back)
            .min(u64::from(rate.burst) * 1000);
        self.since = now;
        let is_free = self.left >= 1000;
        if is_free {
            self.left -= 1000;
        }
        is_free
    }

    /// Nothing has happened for so long that it is as a new one.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let missing = (u64::from(rate.burst) * 1000).saturating_sub(self.left);
        let passed = now.saturating_duration_since(self.since);
        passed >= Duration::from_millis(missing / u64::from(rate.a_second.max(1)))
    }
}

/// Counts what there may be only so many of.
pub(super) struct Places {
    taken: Cell<usize>,
    most: Cell<usize>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            taken: Cell::new(0),
            most: Cell::new(most),
        }
    }

    pub(crate) fn take(&self) -> bool {
        let is_free = self.taken.get() < self.most.get();
        if is_free {
            self.taken.set(self.taken.get() + 1);
        }
        is_free
    }

    /// Those that are taken stay taken.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    pub(crate) fn give_back(&self) {
        self.taken.set(self.taken.get().saturating_sub(1));
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_up_with_time() {
        let rate = Rate {
            burst: 3,
            a_second: 2,
        };
        let start = Instant::now();
        let mut bucket = Bucket::new(rate, start);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(rate, now)).count();
        assert!(bucket.is_full(rate, start));
        assert_eq!(taken(&mut bucket, start), 3);
        assert!(!bucket.is_full(rate, start + Duration::from_millis(1499)));
        assert!(bucket.is_full(rate, start + Duration::from_millis(1500)));
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(499)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(500)), 1);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 3);
        assert_eq!(taken(&mut bucket, start), 0, "time does not go back");
    }

    #[test]
    fn small_machines_have_room_for_fewer() {
        assert_eq!((sessions(128), streams(128)), (32, 192));
        assert_eq!((sessions(2048), streams(2048)), (512, 2304));
        assert_eq!((sessions(100_000), streams(100_000)), (4096, 101_024));
    }
}
