//! How many connections the cover's sites have with guests.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::log::{Address, Throttle};
use crate::net::{Notify, Reactor};

/// One address has at most one part in so many of the places, but at least so many.
const ADDRESS_PART: usize = 4;
const MIN_OF_ADDRESS: usize = 16;

/// How long one waits for a place: a server that is busy is slow before it refuses.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who look whether a place that is free is of use to them.
const WOKEN: usize = 4;

/// Between two lines of the log that there are no places.
const LOG_PERIOD: Duration = Duration::from_secs(600);

/// The places at all sites of a proxy together.
pub(crate) struct Guests {
    most: Cell<usize>,
    count: Cell<usize>,
    /// An IPv6 address is its /64.
    by_address: RefCell<HashMap<IpAddr, usize>>,
    left: Notify,
    /// Somebody got no place.
    refused: Notify,
    refusals: Throttle,
}

/// A place, until it is dropped.
pub(super) struct Guest {
    guests: Rc<Guests>,
    address: IpAddr,
}

impl Guests {
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most: Cell::new(most),
            count: Cell::new(0),
            by_address: RefCell::default(),
            left: Notify::default(),
            refused: Notify::default(),
            refusals: Throttle::new(LOG_PERIOD),
        })
    }

    /// What a reload changes; who is there stays.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.set(most);
        self.left.notify();
    }

    /// A place for one of `address`, which may have to be waited for; `None` if there is
    /// none in time.
    pub(super) async fn enter(
        self: &Rc<Self>,
        reactor: &Rc<Reactor>,
        address: IpAddr,
    ) -> Option<Guest> {
        if let Some(guest) = self.take(address) {
            return Some(guest);
        }
        let waiting = async {
            loop {
                self.left.changed().await;
                if let Some(guest) = self.take(address) {
                    return guest;
                }
            }
        };
        reactor.timeout(PATIENCE, waiting).await
    }

    fn take(self: &Rc<Self>, address: IpAddr) -> Option<Guest> {
        if self.count.get() >= self.most.get() || !self.count_in(network(address)) {
            return None;
        }
        self.count.set(self.count.get() + 1);
        Some(Guest {
            guests: self.clone(),
            address: network(address),
        })
    }

    /// One more of this address, if it may have that.
    fn count_in(&self, address: IpAddr) -> bool {
        let of_address = (self.most.get() / ADDRESS_PART).max(MIN_OF_ADDRESS);
        let mut by_address = self.by_address.borrow_mut();
        let there = by_address.entry(address).or_default();
        let may = *there < of_address;
        *there += usize::from(may);
        may
    }

    fn count_out(&self, address: IpAddr) {
        let mut by_address = self.by_address.borrow_mut();
        match by_address.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(by_address.remove(&address)),
        }
    }

    /// Until somebody gets no place.
    pub(crate) async fn refuses(&self) {
        self.refused.changed().await;
    }

    /// A guest from there got no place: so it is where a site leads back to us by somebody
    /// in between.
    pub(super) fn tell_refusal(&self, address: IpAddr, now: Instant) {
        self.refused.notify();
        let Some(skipped) = self.refusals.pass(now) else {
            return;
        };
        let there = self.by_address.borrow().get(&network(address)).copied();
        let (there, all) = (there.unwrap_or_default(), self.count.get());
        let address = Address::from(address);
        warn!(
            "{address} is not shown the cover site ({there} connections to such sites are its \
             own, {all} in all, that is the limit){skipped}; if that is this machine or the web \
             server in front of it, see whether --web-site leads back here"
        );
    }
}

impl Guest {
    /// It is one of `address` from here on, if that may have one more.
    pub(super) fn pass_to(&mut self, address: IpAddr) -> bool {
        let address = network(address);
        if address == self.address {
            return true;
        }
        let may = self.guests.count_in(address);
        if may {
            self.guests.count_out(self.address);
            self.address = address;
        }
        may
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let guests = &self.guests;
        guests.count.set(guests.count.get().saturating_sub(1));
        guests.count_out(self.address);
        guests.left.notify_first(WOKEN);
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let upper = u128::from(address) >> 64 << 64;
            IpAddr::V6(upper.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Executor;

    #[test]
    fn who_finds_no_place_waits_for_one_for_some_seconds() {
        let reactor = Reactor::virtual_time().unwrap();
        let executor = Rc::new(Executor::default());
        reactor.block_on(&executor, async {
            let guests = Guests::new(1);
            let address = |last: u8| IpAddr::from([192, 0, 2, last]);
            let inside = guests.enter(&reactor, address(1)).await;
            let began = reactor.now();
            assert!(guests.enter(&reactor, address(2)).await.is_none());
            assert!(reactor.now() - began >= PATIENCE);
            let leaving = async {
                reactor.sleep(Duration::from_secs(3)).await;
                drop(inside);
            };
            let began = reactor.now();
            let entering = guests.enter(&reactor, address(2));
            let (entered, ()) = smol::future::zip(entering, leaving).await;
            assert!(entered.is_some());
            assert!(reactor.now() - began < Duration::from_secs(4));
        });
    }

    #[test]
    fn places_are_bounded_in_all_and_by_address() {
        let guests = Guests::new(80);
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut inside: Vec<_> = (0..99).filter_map(|_| guests.take(address(1))).collect();
        assert_eq!(inside.len(), 20);
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2:1".parse().unwrap();
        inside.extend((0..10).filter_map(|_| guests.take(v6)));
        inside.extend((0..99).filter_map(|_| guests.take(neighbour)));
        assert_eq!(inside.len(), 40, "a /64 is one");
        inside.extend((2..99).filter_map(|last| guests.take(address(last))));
        assert_eq!(inside.len(), 80);
        inside.truncate(79);
        assert!(guests.take(address(1)).is_none() && guests.take(address(200)).is_some());
        guests.set_most(100);
        assert!(guests.take(address(201)).is_some());
        drop(inside);
        assert!(guests.by_address.borrow().is_empty() && guests.count.get() == 0);
        let mut inside: Vec<_> = (0..25).filter_map(|_| guests.take(address(1))).collect();
        let mut other = guests.take(address(2)).unwrap();
        assert!(!other.pass_to(address(1)), "it has its part");
        assert!(inside[0].pass_to(address(3)) && other.pass_to(address(1)));
        assert_eq!(guests.by_address.borrow().len(), 2);
    }
}
