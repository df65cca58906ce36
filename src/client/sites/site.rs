//! Where a site is, and connecting to it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{LOG_PERIOD, Sites};
use crate::config::{Reach, SitePlace};
use crate::log::Trouble;
use crate::metrics::FrontingFailure;
use crate::net::{Lookup, LookupRules, Socket};

/// Each address of a site gets this long before the next one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// How long a resolved name holds; older addresses serve until the new ones
/// are there.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

/// A resolver without an answer takes longer than strangers wait.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

const RULES: LookupRules = LookupRules {
    max_addresses: 3,
    max_under_way: 1,
    late_after: RESOLVE_LIMIT,
    is_usable: |_| true,
};

/// A site that strangers can be connected to.
pub(super) struct Site {
    pub(crate) place: SitePlace,
    /// A stranger chose it: nothing inside our own network may be reached.
    only_global: bool,
    /// `None`: it has a path.
    lookup: Option<Rc<Lookup>>,
    trouble: Trouble,
}

impl Site {
    pub(crate) fn new(place: SitePlace, only_global: bool) -> Rc<Self> {
        let rules = match only_global {
            true => LookupRules {
                is_usable: |ip| Reach::of(ip) == Reach::Internet,
                ..RULES
            },
            false => RULES,
        };
        let lookup = match &place {
            SitePlace::Host { name, port } => Some(Lookup::new(name, *port, rules)),
            SitePlace::Unix(_) => None,
        };
        Rc::new(Self {
            place,
            only_global,
            lookup,
            trouble: Trouble::new(LOG_PERIOD),
        })
    }

    /// Says that strangers cannot be connected to it, once in a while, and when
    /// they can again. What a stranger chose is no concern of the operator's.
    pub(crate) fn note(&self, failure: Option<FrontingFailure>, now: Instant) {
        use FrontingFailure::{ConnectTimeout, Refused, Unresolved};
        let place = &self.place;
        match failure {
            _ if self.only_global => {}
            Some(failure @ (ConnectTimeout | Refused | Unresolved)) => {
                if let Some(skipped) = self.trouble.fails(now) {
                    warn!(
                        "strangers see a silent server instead of {place}: {failure}{skipped}; \
                         start it, or name another with --fronting HOST:PORT"
                    );
                }
            }
            None if self.trouble.works() => info!("strangers see {place} again"),
            _ => {}
        }
    }

    /// Its addresses, as far as they are known.
    pub(crate) fn known_addresses(&self) -> Rc<[SocketAddr]> {
        let lookup = self.lookup.as_ref();
        lookup.map(|lookup| lookup.known()).unwrap_or_default()
    }

    /// A connection to it.
    pub(crate) async fn connect(&self, sites: &Sites) -> Result<Socket, FrontingFailure> {
        let reactor = &sites.reactor;
        if let SitePlace::Unix(path) = &self.place {
            let connected = Socket::connect_unix(reactor, path).await;
            return connected.map_err(|_| FrontingFailure::Refused);
        }
        let mut failure = FrontingFailure::Unresolved;
        for address in self.addresses(sites).await.iter().copied() {
            if sites.loops.is_ours(address) {
                failure = FrontingFailure::OurAddress;
                continue;
            }
            let connected = Socket::connect_within(reactor, address, CONNECT_LIMIT).await;
            failure = match connected.map_err(|error| error.kind()) {
                Ok(socket) => return Ok(socket),
                Err(io::ErrorKind::TimedOut) => FrontingFailure::ConnectTimeout,
                Err(_) => FrontingFailure::Refused,
            };
        }
        Err(failure)
    }

    /// Waits for its addresses if there are none at all.
    pub(crate) async fn resolved(&self, sites: &Sites) {
        self.addresses(sites).await;
    }

    /// Where it is has been found out.
    pub(crate) fn is_resolved(&self) -> bool {
        self.lookup.is_none() || !self.known_addresses().is_empty()
    }

    /// Its addresses; only if there are none at all it waits for them.
    async fn addresses(&self, sites: &Sites) -> Rc<[SocketAddr]> {
        if let Some(lookup) = &self.lookup {
            if lookup.is_older(RESOLVE_EVERY, sites.reactor.now()) {
                lookup.begin(&sites.reactor, &sites.executor);
            }
            if lookup.known().is_empty() {
                sites.reactor.timeout(RESOLVE_LIMIT, lookup.answer()).await;
            }
        }
        self.known_addresses()
    }
}
