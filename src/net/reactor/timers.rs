//! The timers that are set, in the order in which they are due.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::clock::millis;

/// Low bits of a timer's place: they tell timers of the same millisecond apart.
const NUMBER_BITS: u32 = 24;

/// A timer that is set.
pub(in crate::net) struct TimerKey {
    pub(crate) deadline: Instant,
    /// The millisecond since the start, of 34 years, then a number.
    place: u64,
}

pub(in crate::net) struct Timers {
    started: Instant,
    /// By place. The same type as that of other queues of wakers: code for one.
    queue: BTreeMap<u64, Waker>,
    next_number: u64,
}

impl Timers {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            queue: BTreeMap::new(),
            next_number: 0,
        }
    }

    pub(crate) fn add(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let time = deadline.saturating_duration_since(self.started);
        // Rounded up: one that fires before its deadline would be set again.
        let millisecond = millis(time + Duration::from_nanos(999_999));
        let place = loop {
            let number = self.next_number & ((1 << NUMBER_BITS) - 1);
            self.next_number = number + 1;
            let place = millisecond << NUMBER_BITS | number;
            if !self.queue.contains_key(&place) {
                break place;
            }
        };
        self.queue.insert(place, waker);
        TimerKey { deadline, place }
    }

    /// Replaces the waker of a timer that has not fired; false if it has.
    pub(crate) fn update(&mut self, key: &TimerKey, waker: &Waker) -> bool {
        match self.queue.get_mut(&key.place) {
            Some(slot) => {
                slot.clone_from(waker);
                true
            }
            None => false,
        }
    }

    pub(crate) fn remove(&mut self, key: &TimerKey) {
        self.queue.remove(&key.place);
    }

    /// When the first timer is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        let (place, _) = self.queue.first_key_value()?;
        Some(self.started + Duration::from_millis(place >> NUMBER_BITS))
    }

    /// The waker of the first timer, which goes, if it is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Waker> {
        let now = millis(now.saturating_duration_since(self.started));
        let first = self.queue.first_entry()?;
        (first.key() >> NUMBER_BITS <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_help::WakeCount;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn timers_fire_in_their_order_and_not_early() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let [(late, late_waker), (soon, soon_waker)] = [(); 2].map(|()| WakeCount::new());
        let counts = || (soon.get(), late.get());
        timers.add(start + 2500 * MICROSECOND, late_waker);
        let key = timers.add(start + 1500 * MICROSECOND, soon_waker.clone());
        let first = start + Duration::from_millis(2);
        assert_eq!(timers.first(), Some(first));
        assert!(timers.take_due(first - MICROSECOND).is_none());
        timers.take_due(first).unwrap().wake();
        assert!(timers.take_due(first).is_none());
        assert_eq!(counts(), (1, 0));
        assert!(!timers.update(&key, &soon_waker), "it has fired");
        timers
            .take_due(first + Duration::from_millis(1))
            .unwrap()
            .wake();
        assert_eq!((counts(), timers.first()), ((1, 1), None));
    }

    #[test]
    fn those_of_one_deadline_have_places_of_their_own() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let (_, waker) = WakeCount::new();
        let deadline = start + Duration::from_millis(3);
        // The numbers begin anew in the middle of them.
        timers.next_number = (1 << NUMBER_BITS) - 50;
        let keys: Vec<_> = (0..100)
            .map(|_| timers.add(deadline, waker.clone()))
            .collect();
        assert_eq!(timers.queue.len(), 100);
        // One that is taken is not given again.
        timers.next_number = keys[7].place & ((1 << NUMBER_BITS) - 1);
        let other = timers.add(deadline, waker.clone());
        assert_eq!(timers.queue.len(), 101);
        timers.remove(&other);
        keys.iter().for_each(|key| timers.remove(key));
        assert_eq!(timers.first(), None);
    }
}
