//! How many connections of HTTP there may be that nobody pushes out: carriers, and those
//! whose next request is awaited.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::guard::fair_queue::Origin;

/// One address (IPv6: /64) has at most one part in so many of the places, but at least so
/// many.
const ADDRESS_PART: usize = 4;
const MIN_OF_ADDRESS: usize = 16;

/// The places.
pub(super) struct Connections {
    most: Cell<usize>,
    count: Cell<usize>,
    by_address: RefCell<HashMap<Origin, usize>>,
}

/// One of them, until it is dropped.
pub(super) struct Seated {
    connections: Rc<Connections>,
    /// Whose part it is of.
    origin: Option<Origin>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most: Cell::new(most),
            count: Cell::new(0),
            by_address: RefCell::default(),
        })
    }

    /// What a reload changes; who is there stays.
    pub(super) fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    /// For who comes through a door of `--web-listen`: a web server, which has the
    /// connections of many clients.
    pub(super) fn take(self: &Rc<Self>) -> Option<Seated> {
        self.seat(self.most.get())
    }

    /// For who comes to a port of clients. A quarter of all is never for those.
    #[cfg(any(test, feature = "tls"))]
    pub(super) fn take_of(self: &Rc<Self>, origin: Origin) -> Option<Seated> {
        let most = self.most.get();
        let mut seated = self.seat(most - most / ADDRESS_PART)?;
        seated.belong_to(Some(origin)).then_some(seated)
    }

    #[cfg(test)]
    pub(super) fn of(&self, address: &str) -> usize {
        let origin = Origin::of(address.parse().expect("an address"));
        let by_address = self.by_address.borrow();
        by_address.get(&origin).copied().unwrap_or_default()
    }

    fn seat(self: &Rc<Self>, most: usize) -> Option<Seated> {
        let count = self.count.get();
        (count < most).then(|| {
            self.count.set(count + 1);
            Seated {
                connections: self.clone(),
                origin: None,
            }
        })
    }
}

impl Seated {
    /// It counts as one of `origin`, or as nobody's: what is asked on a web server's
    /// connection is now this client's, now that one's. False: those have their part, and
    /// it stays whose it was.
    pub(super) fn belong_to(&mut self, origin: Option<Origin>) -> bool {
        if self.origin == origin {
            return true;
        }
        if let Some(origin) = origin {
            let of_address = (self.connections.most.get() / ADDRESS_PART).max(MIN_OF_ADDRESS);
            let mut by_address = self.connections.by_address.borrow_mut();
            let there = by_address.get(&origin).copied().unwrap_or_default();
            if there >= of_address {
                return false;
            }
            by_address.insert(origin, there + 1);
        }
        self.leave();
        self.origin = origin;
        true
    }

    /// It is nobody's.
    fn leave(&mut self) {
        let Some(origin) = self.origin.take() else {
            return;
        };
        let mut by_address = self.connections.by_address.borrow_mut();
        match by_address.get_mut(&origin) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(by_address.remove(&origin)),
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.leave();
        let count = &self.connections.count;
        count.set(count.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_part_and_ports_of_clients_leave_some() {
        let connections = Connections::new(80);
        let origin = |last: u8| Origin::of([192, 0, 2, last].into());
        let mut inside: Vec<_> = (0..99)
            .filter_map(|_| connections.take_of(origin(1)))
            .collect();
        assert_eq!(inside.len(), 20);
        inside.extend((2..99).filter_map(|last| connections.take_of(origin(last))));
        assert_eq!(inside.len(), 60);
        let doors: Vec<_> = (0..99).filter_map(|_| connections.take()).collect();
        assert_eq!(doors.len(), 20);
        drop(doors);
        inside.pop();
        assert!(connections.take_of(origin(1)).is_none(), "it has its part");
        assert!(connections.take_of(origin(100)).is_some());
        drop(inside);
        assert!(connections.by_address.borrow().is_empty() && connections.count.get() == 0);
    }
}
