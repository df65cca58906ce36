use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{LOG_PERIOD, Sites};
use crate::config::{Reach, SitePlace};
use crate::log::Trouble;
use crate::metrics::FrontingFailure;
use crate::net::{Notify, Socket, look_up, unblock};

/// Each address of a site gets this long before the next one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Addresses of a site that are tried.
const MOST_ADDRESSES: usize = 3;

/// How long a resolved name holds; older addresses serve until the new ones
/// are there.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

/// A resolver without an answer takes longer than strangers wait.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// A site that strangers can be connected to.
pub(super) struct Site {
    pub place: SitePlace,
    /// A stranger chose it: nothing inside our own network may be reached.
    only_global: bool,
    addresses: RefCell<Rc<[SocketAddr]>>,
    resolved_at: Cell<Option<Instant>>,
    is_resolving: Cell<bool>,
    resolved: Notify,
    trouble: Trouble,
}

impl Site {
    pub fn new(place: SitePlace, only_global: bool) -> Rc<Self> {
        Rc::new(Self {
            place,
            only_global,
            addresses: RefCell::new(Rc::new([])),
            resolved_at: Cell::new(None),
            is_resolving: Cell::new(false),
            resolved: Notify::default(),
            trouble: Trouble::new(LOG_PERIOD),
        })
    }

    /// Says that strangers cannot be connected to it, once in a while, and when
    /// they can again. What a stranger chose is no concern of the operator's.
    pub fn note(&self, failure: Option<FrontingFailure>, now: Instant) {
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
    pub fn known_addresses(&self) -> Rc<[SocketAddr]> {
        self.addresses.borrow().clone()
    }

    /// A connection to it.
    pub async fn connect(self: &Rc<Self>, sites: &Sites) -> Result<Socket, FrontingFailure> {
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
            let connecting = Socket::connect(reactor, address);
            failure = match reactor.timeout(CONNECT_LIMIT, connecting).await {
                Some(Ok(socket)) => return Ok(socket),
                Some(Err(_)) => FrontingFailure::Refused,
                None => FrontingFailure::ConnectTimeout,
            };
        }
        Err(failure)
    }

    /// Waits for its addresses if there are none at all.
    pub async fn resolved(self: &Rc<Self>, sites: &Sites) {
        if matches!(self.place, SitePlace::Host { .. }) {
            self.addresses(sites).await;
        }
    }

    /// Where it is has been found out.
    pub fn is_resolved(&self) -> bool {
        matches!(self.place, SitePlace::Unix(_)) || !self.addresses.borrow().is_empty()
    }

    /// Its addresses; only if there are none at all it waits for them.
    async fn addresses(self: &Rc<Self>, sites: &Sites) -> Rc<[SocketAddr]> {
        let now = sites.reactor.now();
        let is_fresh = |at| now.duration_since(at) < RESOLVE_EVERY;
        if !self.resolved_at.get().is_some_and(is_fresh) && !self.is_resolving.replace(true) {
            let site = self.clone();
            let resolving = async move { site.resolve(now).await };
            sites.executor.spawn(resolving).detach();
        }
        if self.addresses.borrow().is_empty() {
            let resolved = async {
                while self.is_resolving.get() {
                    self.resolved.changed().await;
                }
            };
            sites.reactor.timeout(RESOLVE_LIMIT, resolved).await;
        }
        self.addresses.borrow().clone()
    }

    async fn resolve(&self, now: Instant) {
        if let SitePlace::Host { name, port } = self.place.clone() {
            let found = match name.parse() {
                Ok(ip) => vec![SocketAddr::new(ip, port)],
                Err(_) => unblock(move || look_up(&name, port, MOST_ADDRESSES))
                    .await
                    .unwrap_or_default(),
            };
            let may_be_reached = |address: &SocketAddr| {
                !self.only_global || Reach::of(address.ip()) == Reach::Internet
            };
            let usable: Rc<[_]> = found.into_iter().filter(may_be_reached).collect();
            if !usable.is_empty() {
                self.addresses.replace(usable);
                self.resolved_at.set(Some(now));
            }
        }
        self.is_resolving.set(false);
        self.resolved.notify();
    }
}
