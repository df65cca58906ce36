//! Connections to sites that have no answer yet, found by the port that each is known
//! by.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use slab::Slab;

/// Bytes by which connections count as alike: the random of a hello is among
/// them.
const COMPARED: usize = 64;

/// What is compared of a connection that begins with `received`.
pub(super) fn beginning(received: &[u8]) -> &[u8] {
    received.get(..COMPARED).unwrap_or(received)
}

/// One of them.
pub(super) struct Dialled {
    /// Where it comes from, as its site sees it or as a relay told us.
    pub(crate) from: SocketAddr,
    begins: heapless::Vec<u8, COMPARED>,
    /// How many connections of the same chain came before it.
    pub(crate) rounds: u32,
}

impl Dialled {
    pub(crate) fn new(from: SocketAddr, received: &[u8], rounds: u32) -> Self {
        Self {
            from,
            begins: heapless::Vec::from_slice(beginning(received)).unwrap_or_default(),
            rounds,
        }
    }

    /// As far as both have said something, it is the same.
    pub(crate) fn begins_like(&self, received: &[u8]) -> bool {
        let length = self.begins.len().min(received.len());
        self.begins.get(..length) == received.get(..length)
    }
}

/// All of them. Several may have a port: as long as they lead to different
/// addresses, the kernel gives it to each.
#[derive(Default)]
pub(super) struct DialledByPort {
    all: Slab<Dialled>,
    /// By the port and what tells those that have it apart. The same type as
    /// `guard::fair_queue` has: code for one.
    by_port: BTreeMap<(u64, u64), u64>,
}

/// What finds it again in [`DialledByPort`]; small, as each stranger at a site keeps
/// two.
pub(super) type Entry = u32;

impl DialledByPort {
    pub(crate) fn insert(&mut self, dialled: Dialled) -> Entry {
        let port = dialled.from.port().into();
        let entry = self.all.insert(dialled);
        self.by_port.insert((port, entry as u64), entry as u64);
        entry as Entry
    }

    pub(crate) fn remove(&mut self, entry: Option<Entry>) {
        let gone = entry.and_then(|entry| Some((entry, self.all.try_remove(entry as usize)?)));
        if let Some((entry, gone)) = gone {
            self.by_port
                .remove(&(gone.from.port().into(), entry.into()));
        }
        if self.by_port.is_empty() {
            // The table of a crowd is not kept.
            self.all = Slab::new();
        }
    }

    pub(crate) fn of(&self, port: u16) -> impl Iterator<Item = &Dialled> {
        let all_of_it = (port.into(), 0)..=(port.into(), u64::MAX);
        let keys = self.by_port.range(all_of_it).map(|(_, key)| *key as usize);
        keys.filter_map(|key| self.all.get(key))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_port.is_empty() && self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_port_until_it_is_removed() {
        let mut dialled = DialledByPort::default();
        let from = |host: u8, port| SocketAddr::new([192, 0, 2, host].into(), port);
        let entries = [(1, 7), (2, 7), (3, 8)].map(|(host, port)| {
            dialled.insert(Dialled::new(from(host, port), b"hello", host.into()))
        });
        let of = |dialled: &DialledByPort, port| {
            let rounds = dialled.of(port).map(|one| one.rounds);
            rounds.collect::<Vec<_>>()
        };
        assert_eq!((of(&dialled, 7), of(&dialled, 8)), (vec![1, 2], vec![3]));
        dialled.remove(Some(entries[0]));
        dialled.remove(None);
        assert_eq!((of(&dialled, 7), of(&dialled, 8)), (vec![2], vec![3]));
        // It takes the place of the one that is gone, under another port.
        let again = dialled.insert(Dialled::new(from(4, 8), b"hello", 4));
        assert_eq!(again, entries[0]);
        let mut found = of(&dialled, 8);
        found.sort();
        assert_eq!((of(&dialled, 7), found), (vec![2], vec![3, 4]));
        for entry in [entries[1], entries[2], again] {
            assert!(!dialled.is_empty());
            dialled.remove(Some(entry));
        }
        assert!(dialled.is_empty() && of(&dialled, 7).is_empty());
    }

    #[test]
    fn the_shorter_beginning_decides_and_the_end_does_not() {
        let from = SocketAddr::new([192, 0, 2, 1].into(), 1);
        let long = [7; 2 * COMPARED];
        let dialled = Dialled::new(from, &long, 0);
        assert!(dialled.begins_like(&long[..3]) && dialled.begins_like(b""));
        assert!(!dialled.begins_like(&[8]));
        let mut other_end = long;
        other_end[COMPARED] = 8;
        assert!(dialled.begins_like(&other_end[..COMPARED]));
        assert_eq!(beginning(&other_end), beginning(&long));
    }
}
