//! Whether a connection that is to go to a site comes from ourselves.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use smol_mtproxy_ciphers::sha256;

use super::dialled::{Dialled, DialledByPort, Entry, beginning};
use crate::config::Reach;
use crate::net::{Counting, Notify, is_local_address};

/// A connection that has come back to us so often goes round in circles. So may as
/// many that begin alike and all wait for the site's first byte.
pub(super) const MAX_ROUNDS: u32 = 8;

/// Connections that wait at a time, until fewer that begin alike are without an
/// answer.
const MAX_WAITING: usize = 64;

/// A hash of what a connection begins with.
type PrefixHash = u64;

/// Keeps the proxy from being its own site: such a connection would come back,
/// be connected to the site again, and so on until descriptors are gone.
///
/// Strangers are not to notice that there is such a rule. So those that begin alike
/// are counted only where they may come from ourselves: from this machine, its
/// network or the site. From anywhere else one is refused only if the ports of a
/// whole chain of connections show that it is ours.
pub(super) struct Loops {
    /// Where we listen.
    own: RefCell<Vec<SocketAddr>>,
    public_ip: Box<dyn Fn() -> Option<IpAddr>>,
    /// The connections to sites that got no answer, by their port here.
    dialled: RefCell<DialledByPort>,
    /// Those among them of whose client a relay told, by its port.
    told: RefCell<DialledByPort>,
    unanswered: RefCell<HashMap<PrefixHash, u32>>,
    /// One that was counted is answered, or gone.
    fewer: Notify,
    waiting: Cell<usize>,
}

/// A connection that is to be passed on to a site.
pub(super) struct Comer<'a> {
    /// Who it is, as a relay says if it came through one.
    pub(crate) client: SocketAddr,
    /// The other end of its socket.
    pub(crate) sender: SocketAddr,
    pub(crate) received: &'a [u8],
    /// Where its site is. A relay there may lead back to us.
    pub(crate) site: &'a [SocketAddr],
}

impl Comer<'_> {
    fn is_told(&self) -> bool {
        self.client != self.sender
    }
}

/// How it shows that a connection goes round in circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    /// It, or all of a chain, comes from where we are connected to a site.
    Ports,
    /// Too many begin like it and may be ours.
    Alike,
}

/// A connection to a site that has no answer yet. Ends with
/// [`answered`](Loops::answered).
pub(super) struct Begun {
    counted: Option<PrefixHash>,
    /// A relay told who the client is.
    is_told: bool,
    rounds: u32,
    dialled: Option<Entry>,
    told: Option<Entry>,
}

impl Loops {
    pub(crate) fn new(public_ip: Box<dyn Fn() -> Option<IpAddr>>) -> Self {
        Self {
            own: RefCell::default(),
            public_ip,
            dialled: RefCell::default(),
            told: RefCell::default(),
            unanswered: RefCell::default(),
            fewer: Notify::default(),
            waiting: Cell::new(0),
        }
    }

    pub(crate) fn listening(&self, address: SocketAddr) {
        self.own.borrow_mut().push(address);
    }

    pub(crate) fn not_listening(&self, address: SocketAddr) {
        self.own.borrow_mut().retain(|own| *own != address);
    }

    /// Our address as the internet sees it, once it is known.
    #[cfg(feature = "check")]
    pub(crate) fn public_ip(&self) -> Option<IpAddr> {
        (self.public_ip)()
    }

    /// Whether a connection to `address` would reach one of our listeners.
    pub(crate) fn is_ours(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_behind = |own: &SocketAddr| {
            own.port() == address.port()
                && (own.ip() == ip || own.ip().is_unspecified() && own.is_ipv4() == ip.is_ipv4())
        };
        let has_port = self.own.borrow().iter().any(is_behind);
        let is_public = (self.public_ip)() == Some(ip);
        let own_port = |own: &SocketAddr| own.port() == address.port();
        has_port && is_local_address(ip) || is_public && self.own.borrow().iter().any(own_port)
    }

    /// Whether the peer of a connection is ourselves.
    pub(crate) fn is_from_us(&self, peer: SocketAddr) -> bool {
        let dialled = self.dialled.borrow();
        let ip = peer.ip().to_canonical();
        dialled
            .of(peer.port())
            .any(|dialled| dialled.from.ip().to_canonical() == ip)
    }

    /// How many connections before this one came each from the port of ours that
    /// the one before it is passed on through. A NAT may keep ports and show any
    /// address. Relays that tell us what the site is told say the same client each
    /// time: it has one connection of that address and port.
    fn rounds(&self, comer: &Comer<'_>) -> u32 {
        let (dialled, told) = (self.dialled.borrow(), self.told.borrow());
        let is_before = |before: &&Dialled| before.begins_like(comer.received);
        let rounds_from = |port| {
            let before = dialled.of(port).filter(is_before);
            before.map(|before| before.rounds + 1).max().unwrap_or(0)
        };
        let same = told.of(comer.client.port());
        let same = same.filter(|before| before.from == comer.client && comer.is_told());
        let rounds_of_same = same.filter(is_before).map(|before| before.rounds + 1);
        rounds_from(comer.client.port())
            .max(rounds_from(comer.sender.port()))
            .max(rounds_of_same.max().unwrap_or(0))
    }

    /// Whether a connection from `ip` may be one of ours, behind a NAT or a relay:
    /// one of this machine or its network, or where the site is said to be. From
    /// there no stranger comes.
    fn may_be_ours(&self, ip: IpAddr, site: &[SocketAddr]) -> bool {
        let ip = ip.to_canonical();
        Reach::of(ip) == Reach::Ours
            || ip.is_unspecified()
            || (self.public_ip)() == Some(ip)
            || site.iter().any(|address| address.ip().to_canonical() == ip)
            || is_local_address(ip)
    }

    /// One more connection. Silent ones are not told apart.
    pub(crate) fn begin(&self, comer: &Comer<'_>) -> Result<Begun, Circle> {
        let rounds = self.rounds(comer);
        if self.is_from_us(comer.client) || rounds >= MAX_ROUNDS {
            return Err(Circle::Ports);
        }
        let first = beginning(comer.received);
        let mut counted = None;
        if !first.is_empty() && self.may_be_ours(comer.client.ip(), comer.site) {
            let [a, b, c, d, e, f, g, h, ..] = sha256(&[first]);
            let prefix = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            let mut unanswered = self.unanswered.borrow_mut();
            let count = unanswered.entry(prefix).or_default();
            if *count >= MAX_ROUNDS {
                return Err(Circle::Alike);
            }
            *count += 1;
            counted = Some(prefix);
        }
        Ok(Begun {
            counted,
            is_told: comer.is_told(),
            rounds,
            dialled: None,
            told: None,
        })
    }

    /// The same, once fewer begin alike: who only looks like one of a circle comes
    /// through as soon as the site answers the others.
    pub(crate) async fn begin_later(&self, comer: &Comer<'_>) -> Option<Begun> {
        if self.waiting.get() >= MAX_WAITING {
            return None;
        }
        let _waiting = Counting::one(&self.waiting);
        loop {
            self.fewer.changed().await;
            match self.begin(comer) {
                Ok(begun) => return Some(begun),
                Err(Circle::Alike) => {}
                Err(Circle::Ports) => return None,
            }
        }
    }

    /// `begun` of `client`, which has sent that, is on its way, from there.
    pub(crate) fn dialled(
        &self,
        begun: &mut Begun,
        client: SocketAddr,
        received: &[u8],
        from: SocketAddr,
    ) {
        let dialled = |from| Dialled::new(from, received, begun.rounds);
        let mut ports = self.dialled.borrow_mut();
        begun.dialled = Some(ports.insert(dialled(from)));
        let mut told = self.told.borrow_mut();
        begun.told = begun.is_told.then(|| told.insert(dialled(client)));
    }

    /// It leads somewhere, or is gone. Another connection may come from the same
    /// address and port as this one of ours, as long as they lead to different
    /// ones.
    pub(crate) fn answered(&self, begun: Begun) {
        self.dialled.borrow_mut().remove(begun.dialled);
        self.told.borrow_mut().remove(begun.told);
        let mut unanswered = self.unanswered.borrow_mut();
        if let Some(prefix) = begun.counted
            && let Some(count) = unanswered.get_mut(&prefix)
        {
            *count -= 1;
            if *count == 0 {
                unanswered.remove(&prefix);
            }
            self.fewer.notify();
        }
    }
}

#[cfg(test)]
mod tests;
