use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two connections to one address and port: filters punish more than one a second,
/// for everybody behind the same address. The rest is for what delays the first of two.
pub(super) const STEP: Duration = Duration::from_millis(1100);

/// Who connects to an address asks here for its turn. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Pace {
    next: Arc<Mutex<BTreeMap<SocketAddr, Instant>>>,
}

impl Pace {
    /// How long to wait for a turn at `address`, which is the caller's from here on.
    pub(super) fn take_turn(&self, address: SocketAddr, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.get(&address).map_or(now, |next| now.max(*next));
        next.insert(address, turn + STEP);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_a_second() {
        let pace = Pace::default();
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let now = Instant::now();
        assert_eq!(pace.take_turn(one, now), Duration::ZERO);
        assert_eq!(pace.take_turn(other, now), Duration::ZERO);
        assert_eq!(pace.take_turn(one, now), STEP);
        assert_eq!(pace.clone().take_turn(one, now + STEP), STEP);
        assert_eq!(pace.take_turn(one, now + 5 * STEP), Duration::ZERO);
        assert!(STEP > Duration::from_secs(1));
    }
}
