//! Connections that are ready before a client asks. Pure: time is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::dc::DcId;

/// They are kept for DCs that somebody has asked for so lately.
const LATELY: Duration = Duration::from_secs(600);

/// One that nobody takes is renewed when it is as old as that: the other side gives idle
/// ones up after about a minute.
const MAX_AGE: Duration = Duration::from_secs(50);

/// DCs that some are kept for: all there are, and their media servers.
const MAX_DCS: usize = 12;

/// What is ready for whom.
pub(super) struct Spares<T> {
    /// Who was asked for last is last.
    dcs: Vec<Ready<T>>,
}

struct Ready<T> {
    dc: DcId,
    asked: Instant,
    /// None could be had: until a client has one, no other is asked for.
    is_out: bool,
    /// The newest is last.
    spares: VecDeque<(T, Instant)>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self { dcs: Vec::new() }
    }
}

impl<T> Spares<T> {
    /// A client asks for this DC: the newest that is ready, at its most so old.
    pub(super) fn take(&mut self, dc: DcId, now: Instant) -> Option<T> {
        let known = self.dcs.iter().position(|ready| ready.dc == dc);
        let mut ready = match known {
            Some(at) => self.dcs.remove(at),
            None => Ready {
                dc,
                asked: now,
                is_out: false,
                spares: VecDeque::new(),
            },
        };
        if self.dcs.len() >= MAX_DCS {
            self.dcs.remove(0);
        }
        ready.asked = now;
        ready.forget(now);
        let spare = ready.spares.pop_back();
        self.dcs.push(ready);
        spare.map(|(spare, _)| spare)
    }

    /// Whose connections there are too few of, the DC that was asked for last first.
    pub(super) fn wanted(&self, each: usize) -> Option<DcId> {
        let mut ready = self.dcs.iter().rev();
        ready
            .find(|ready| !ready.is_out && ready.spares.len() < each)
            .map(|ready| ready.dc)
    }

    /// One more.
    pub(super) fn put(&mut self, dc: DcId, spare: T, now: Instant) {
        if let Some(ready) = self.find(dc) {
            ready.spares.push_back((spare, now));
        }
    }

    /// None can be had.
    pub(super) fn is_out(&mut self, dc: DcId) {
        if let Some(ready) = self.find(dc) {
            ready.is_out = true;
        }
    }

    /// A client has got one.
    pub(super) fn is_back(&mut self, dc: DcId) {
        if let Some(ready) = self.find(dc) {
            ready.is_out = false;
        }
    }

    /// Drops what is too old; whether any DC is left to care for.
    pub(super) fn forget(&mut self, now: Instant) -> bool {
        self.dcs.retain_mut(|ready| {
            ready.forget(now);
            now.saturating_duration_since(ready.asked) < LATELY
        });
        !self.dcs.is_empty()
    }

    fn find(&mut self, dc: DcId) -> Option<&mut Ready<T>> {
        self.dcs.iter_mut().find(|ready| ready.dc == dc)
    }
}

impl<T> Ready<T> {
    fn forget(&mut self, now: Instant) {
        let is_young = |since: Instant| now.saturating_duration_since(since) < MAX_AGE;
        self.spares.retain(|(_, since)| is_young(*since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn some_are_kept_for_who_was_asked_for_lately() {
        let mut spares = Spares::default();
        let start = Instant::now();
        assert_eq!(spares.wanted(1), None, "nobody has asked");
        assert_eq!(spares.take(DcId(2), start), None);
        assert_eq!(spares.take(DcId(4), start), None);
        assert_eq!(spares.wanted(0), None);
        assert_eq!(spares.wanted(1), Some(DcId(4)));
        spares.put(DcId(4), 'a', start);
        assert_eq!(spares.wanted(1), Some(DcId(2)));
        spares.put(DcId(2), 'b', start);
        assert_eq!(spares.wanted(1), None);
        assert_eq!(spares.wanted(2), Some(DcId(4)));
        spares.put(DcId(4), 'c', start + SECOND);
        // The newest first, and none that is too old.
        assert_eq!(spares.take(DcId(4), start + 2 * SECOND), Some('c'));
        assert_eq!(spares.take(DcId(4), start + MAX_AGE), None);
        assert!(spares.forget(start + MAX_AGE));
        assert_eq!(spares.wanted(1), Some(DcId(4)));
        assert!(spares.forget(start + LATELY));
        assert_eq!(spares.dcs.len(), 1);
        spares.put(DcId(2), 'd', start + LATELY);
        assert!(!spares.forget(start + LATELY + MAX_AGE));
    }

    #[test]
    fn nobody_is_asked_again_who_has_none() {
        let mut spares = Spares::default();
        let now = Instant::now();
        spares.take(DcId(2), now);
        spares.is_out(DcId(2));
        assert_eq!(spares.wanted(1), None);
        spares.take(DcId(2), now);
        assert_eq!(spares.wanted(1), None);
        spares.is_back(DcId(2));
        spares.put(DcId(2), (), now);
        assert_eq!(spares.take(DcId(2), now), Some(()));
    }

    #[test]
    fn there_is_a_bound() {
        let mut spares = Spares::default();
        let now = Instant::now();
        for dc in 0..1000 {
            spares.take(DcId(dc), now);
            spares.put(DcId(dc), dc, now);
        }
        assert_eq!(spares.dcs.len(), MAX_DCS);
        assert_eq!(spares.take(DcId(0), now), None);
        assert_eq!(spares.take(DcId(999), now), Some(999));
    }
}
