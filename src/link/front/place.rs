use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::HostPort;
use crate::link::fault::Fault;
use crate::link::{HANDSHAKE_LIMIT, LinkContext};
use crate::net::{Notify, look_up, unblock};

/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;

/// A lookup that takes longer may have begun while there was no network: the
/// next dial begins another one beside it.
const FRESH: Duration = Duration::from_secs(3);

/// Lookups under way at a time.
const MOST_LOOKUPS: u32 = 2;

/// Where a back is. A name is looked up anew for every dial, outside this
/// thread; who dials meanwhile waits for the same answer.
pub(super) struct Place {
    pub host: HostPort,
    found: RefCell<Result<Vec<SocketAddr>, String>>,
    lookups: Cell<u32>,
    /// When the last one began.
    begun: Cell<Option<Instant>>,
    looked: Notify,
}

impl Place {
    pub fn new(host: HostPort) -> Rc<Self> {
        Rc::new(Self {
            host,
            found: RefCell::new(Ok(Vec::new())),
            lookups: Cell::new(0),
            begun: Cell::new(None),
            looked: Notify::default(),
        })
    }

    /// The addresses to try, in order; at least one.
    pub async fn addresses(
        self: &Rc<Self>,
        context: &LinkContext,
    ) -> Result<Vec<SocketAddr>, Fault> {
        let (name, port) = match &self.host {
            HostPort::Address(address) => return Ok(vec![*address]),
            HostPort::Name { name, port } => (name.clone(), *port),
        };
        let now = context.reactor.now();
        let is_late = self.begun.get().is_some_and(|begun| now >= begun + FRESH);
        let lookups = self.lookups.get();
        if lookups == 0 || (is_late && lookups < MOST_LOOKUPS) {
            self.begun.set(Some(now));
            self.lookups.set(lookups + 1);
            let place = self.clone();
            let looking = async move {
                let found = unblock(move || look_up(&name, port, MOST_ADDRESSES)).await;
                *place.found.borrow_mut() = found.map_err(|error| error.to_string());
                place.lookups.set(place.lookups.get() - 1);
                place.looked.notify();
            };
            context.executor.spawn(looking).detach();
        }
        let looked = async {
            self.looked.changed().await;
            self.found.borrow().clone()
        };
        let found = context.reactor.timeout(HANDSHAKE_LIMIT, looked).await;
        let late = || Err(format!("no answer within {} s", HANDSHAKE_LIMIT.as_secs()));
        found.unwrap_or_else(late).map_err(Fault::Unresolved)
    }

    /// How the log calls it, with the address that its name led to.
    pub fn at(&self, address: Option<SocketAddr>) -> String {
        match (&self.host, address) {
            (HostPort::Name { .. }, Some(address)) => format!("{} ({})", self.host, address.ip()),
            _ => self.host.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)
    }
}
