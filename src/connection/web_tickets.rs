//! What web servers gave us for our next connection to them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// As many as are in use at once: Telegram's fronts have ten names, a zone has six, a Worker
/// one.
const MAX_SERVERS: usize = 18;

/// For the next client's connection, and the one that is kept ready behind it. rustls keeps
/// the server's certificates with each: some 4 KiB.
const MAX_TICKETS: usize = 2;

/// Servers that can be taken up again where the last connection was, without their
/// certificates.
///
/// rustls' own keeps eight tickets of a server.
#[derive(Default)]
pub(super) struct WebTickets {
    /// The one that said something last is last. rustls wants to share it between threads.
    servers: Mutex<VecDeque<Known>>,
}

struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The newest is last. Each is for one connection.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl WebTickets {
    fn servers(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        name: &ServerName<'_>,
        read: impl FnOnce(&mut Known) -> Option<T>,
    ) -> Option<T> {
        let mut servers = self.servers();
        let known = servers.iter_mut().find(|known| known.name == *name);
        known.and_then(read)
    }

    fn change(&self, name: ServerName<'static>, change: impl FnOnce(&mut Known)) {
        let mut servers = self.servers();
        let at = servers.iter().position(|known| known.name == name);
        let known = at.and_then(|at| servers.remove(at));
        let mut known = known.unwrap_or(Known {
            name,
            group: None,
            tls12: None,
            tls13: VecDeque::new(),
        });
        change(&mut known);
        push(&mut servers, known, MAX_SERVERS);
    }
}

/// Makes room for it by dropping the first.
fn push<T>(queue: &mut VecDeque<T>, last: T, limit: usize) {
    if queue.len() >= limit {
        queue.pop_front();
    }
    queue.push_back(last);
}

impl ClientSessionStore for WebTickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.change(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.read(name, |known| known.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.change(name, |known| known.tls12 = Some(session));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.read(name, |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.read(name, |known| known.tls12.take());
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.change(name, |known| push(&mut known.tls13, ticket, MAX_TICKETS));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.read(name, |known| known.tls13.pop_back())
    }
}

impl fmt::Debug for WebTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has them can read what is said.
        f.write_str("WebTickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> ServerName<'static> {
        ServerName::try_from(format!("kws{number}.example")).unwrap()
    }

    #[test]
    fn as_many_servers_are_known_as_there_are_and_then_those_that_spoke_last() {
        let tickets = WebTickets::default();
        let speaks = |number| tickets.set_kx_hint(name(number), NamedGroup::X25519);
        let is_known = |number| tickets.kx_hint(&name(number)).is_some();
        (0..MAX_SERVERS).for_each(speaks);
        assert!((0..MAX_SERVERS).all(is_known));
        speaks(0);
        speaks(MAX_SERVERS);
        let gone: Vec<_> = (0..=MAX_SERVERS).filter(|one| !is_known(*one)).collect();
        assert_eq!(gone, [1]);
        assert_eq!(tickets.servers().len(), MAX_SERVERS);
    }

    #[test]
    fn a_queue_that_is_full_drops_the_first() {
        let mut queue = VecDeque::new();
        (0..5).for_each(|number| push(&mut queue, number, MAX_TICKETS));
        assert_eq!(queue, [3, 4]);
    }
}
