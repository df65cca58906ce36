use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::HostPort;
use crate::link::fault::Fault;
use crate::link::{HANDSHAKE_LIMIT, LinkContext};
use crate::net::{Lookup, LookupRules};

const RULES: LookupRules = LookupRules {
    max_addresses: 4,
    max_under_way: 2,
    late_after: Duration::from_secs(3),
    is_usable: |_| true,
};

/// Where a back is. A name is looked up anew for every dial, on another thread; dials at
/// the same time wait for the same answer.
pub(super) struct BackAddress {
    pub(crate) host: HostPort,
    lookup: Rc<Lookup>,
}

impl BackAddress {
    pub(crate) fn new(host: HostPort) -> Rc<Self> {
        let lookup = match &host {
            HostPort::Address(address) => Lookup::of_address(*address, RULES),
            HostPort::Name { name, port } => Lookup::new(name, *port, RULES),
        };
        Rc::new(Self { host, lookup })
    }

    /// The addresses to try, in order; at least one.
    pub(crate) async fn addresses(&self, context: &LinkContext) -> Result<Rc<[SocketAddr]>, Fault> {
        let lookup = &self.lookup;
        lookup.begin(&context.reactor, &context.executor);
        let found = context
            .reactor
            .timeout(HANDSHAKE_LIMIT, lookup.answer())
            .await;
        let late = || Err(format!("no answer within {} s", HANDSHAKE_LIMIT.as_secs()));
        found.unwrap_or_else(late).map_err(Fault::Unresolved)
    }

    /// How the log calls it, with the address that its name led to.
    pub(crate) fn at(&self, address: Option<SocketAddr>) -> String {
        match (&self.host, address) {
            (HostPort::Name { .. }, Some(address)) => format!("{} ({})", self.host, address.ip()),
            _ => self.host.to_string(),
        }
    }
}

impl fmt::Display for BackAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)
    }
}
