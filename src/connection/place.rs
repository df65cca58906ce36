use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::HostPort;
use crate::net::{Executor, Lookup, LookupRules, Reactor};
use crate::wire::via::Target;

const RULES: LookupRules = LookupRules {
    max_addresses: 4,
    max_under_way: 2,
    late_after: Duration::from_secs(3),
    is_usable: |_| true,
};

/// For so long what a name led to is taken without asking; then it is asked while the
/// old answer still serves.
const FRESH: Duration = Duration::from_secs(60);

/// A machine of the config's, by its address or its name.
pub(crate) struct Place {
    host: HostPort,
    lookup: Rc<Lookup>,
    /// The address that was connected to last: it is tried first.
    good: Cell<Option<SocketAddr>>,
    /// The one that failed last: where none is good those behind it are tried first.
    missed: Cell<Option<SocketAddr>>,
}

impl Place {
    pub(crate) fn new(host: &HostPort) -> Self {
        Self {
            host: host.clone(),
            lookup: match host {
                HostPort::Address(address) => Lookup::of_address(*address, RULES),
                HostPort::Name { name, port } => Lookup::new(name, *port, RULES),
            },
            good: Cell::default(),
            missed: Cell::default(),
        }
    }

    /// The addresses to try, in order, at least one; it may take as long as the system's
    /// resolver does.
    pub(super) async fn addresses(
        &self,
        reactor: &Reactor,
        executor: &Executor,
    ) -> Result<Vec<SocketAddr>, String> {
        let known = self.lookup.known();
        if known.is_empty() || self.lookup.is_older(FRESH, reactor.now()) {
            self.lookup.begin(reactor, executor);
        }
        let found = match known.is_empty() {
            true => self.lookup.answer().await?,
            false => known,
        };
        let mut addresses = found.to_vec();
        let at = |wanted: Option<SocketAddr>| {
            let is_it = |address: &SocketAddr| Some(*address) == wanted;
            addresses.iter().position(is_it)
        };
        let first = at(self.good.get()).or(at(self.missed.get()).map(|missed| missed + 1));
        addresses.rotate_left(first.unwrap_or(0));
        Ok(addresses)
    }

    /// As a proxy is told of it that looks names up.
    pub(super) fn target(&self) -> Option<Target> {
        match &self.host {
            HostPort::Address(address) => Some((*address).into()),
            HostPort::Name { name, port } => Target::of_name(name, *port),
        }
    }

    /// One of them took a connection.
    pub(super) fn took(&self, address: SocketAddr) {
        self.good.set(Some(address));
    }

    /// It did not.
    pub(super) fn missed(&self, address: SocketAddr) {
        self.missed.set(Some(address));
        if self.good.get() == Some(address) {
            self.good.set(None);
        }
    }
}
