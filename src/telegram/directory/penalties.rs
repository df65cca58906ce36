use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an address that failed is tried last.
const PENALTY: Duration = Duration::from_secs(60);

/// Failures that are remembered; beyond, the oldest is forgotten.
const REMEMBERED: usize = 32;

/// Which addresses failed lately.
#[derive(Default)]
pub(super) struct Penalties {
    failed: RefCell<heapless::Deque<(SocketAddr, Instant), REMEMBERED>>,
    turn: Cell<usize>,
}

impl Penalties {
    pub(crate) fn add(&self, address: SocketAddr, now: Instant) {
        self.remove(address);
        let mut failed = self.failed.borrow_mut();
        if failed.is_full() {
            failed.pop_front();
        }
        // There is room now.
        let _ = failed.push_back((address, now));
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        let mut failed = self.failed.borrow_mut();
        for _ in 0..failed.len() {
            if let Some(entry) = failed.pop_front()
                && entry.0 != address
            {
                let _ = failed.push_back(entry);
            }
        }
    }

    /// Brings `addresses` into the order to try them in: IPv4 before IPv6,
    /// each turn another one first, those that failed lately at the end.
    pub(crate) fn order(&self, addresses: &mut [SocketAddr], now: Instant) {
        let v4 = addresses.iter().filter(|a| a.is_ipv4()).count();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let (first, rest) = addresses.split_at_mut(v4);
        for family in [first, rest] {
            if !family.is_empty() {
                family.rotate_left(turn % family.len());
            }
        }
        addresses.sort_by_key(|address| self.failed_at(*address, now));
    }

    fn failed_at(&self, address: SocketAddr, now: Instant) -> Option<Instant> {
        let failed = self.failed.borrow();
        let entry = failed.iter().find(|(failed, _)| *failed == address)?;
        (now.duration_since(entry.1) < PENALTY).then_some(entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_families_and_failures() {
        let [a, b, six] = ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"].map(|t| t.parse().unwrap());
        let penalties = Penalties::default();
        let now = Instant::now();
        let order = |now| {
            let mut addresses = [six, a, b];
            penalties.order(&mut addresses, now);
            addresses
        };
        assert_eq!(order(now), [a, b, six]);
        assert_eq!(order(now), [b, a, six]);
        penalties.add(a, now);
        assert_eq!(order(now), [b, six, a]);
        penalties.add(b, now + Duration::from_secs(1));
        assert_eq!(order(now + Duration::from_secs(2)), [six, a, b]);
        penalties.remove(a);
        assert_eq!(order(now + Duration::from_secs(2)), [a, six, b]);
        let later = now + PENALTY + Duration::from_secs(2);
        assert_eq!(order(later)[2], six);
    }

    #[test]
    fn the_oldest_failure_is_forgotten() {
        let penalties = Penalties::default();
        let now = Instant::now();
        for port in 0..100 {
            penalties.add(SocketAddr::from(([1, 2, 3, 4], port)), now);
        }
        assert_eq!(penalties.failed.borrow().len(), REMEMBERED);
    }
}
