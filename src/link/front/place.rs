use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::config::HostPort;
use crate::link::fault::Fault;
use crate::link::{HANDSHAKE_LIMIT, LinkContext};
use crate::net::{Notify, look_up, unblock};

/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Where a back is. A name is looked up anew for every dial, outside this
/// thread; at most one lookup is under way, for all who dial meanwhile.
pub(super) struct Place {
    pub host: HostPort,
    found: RefCell<Result<Vec<SocketAddr>, String>>,
    is_looking: Cell<bool>,
    looked: Notify,
}

impl Place {
    pub fn new(host: HostPort) -> Rc<Self> {
        Rc::new(Self {
            host,
            found: RefCell::new(Ok(Vec::new())),
            is_looking: Cell::new(false),
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
        if !self.is_looking.replace(true) {
            let place = self.clone();
            let looking = async move {
                let found = unblock(move || look_up(&name, port, MOST_ADDRESSES)).await;
                *place.found.borrow_mut() = found.map_err(|error| error.to_string());
                place.is_looking.set(false);
                place.looked.notify();
            };
            context.executor.spawn(looking).detach();
        }
        let looked = async {
            while self.is_looking.get() {
                self.looked.changed().await;
            }
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
