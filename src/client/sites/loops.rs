use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use smol_mtproxy_ciphers::sha256;

use crate::net::is_local_address;

/// Connections to sites that begin with the same bytes and got no answer: more
/// are one connection that goes round in circles, through a NAT that hides it.
const MOST_ALIKE: u32 = 8;

/// Bytes by which connections count as alike: the random of a hello is among
/// them.
const COMPARED: usize = 64;

/// What a connection to a site begins with.
pub(super) type Likeness = u64;

/// Keeps the proxy from being its own site: such a connection would come back,
/// be connected to the site again, and so on until descriptors are gone.
pub(super) struct Loops {
    /// Where we listen.
    own: RefCell<Vec<SocketAddr>>,
    public_ip: Box<dyn Fn() -> Option<IpAddr>>,
    /// Our ends of the connections to sites that got no answer.
    dialled: RefCell<HashSet<SocketAddr>>,
    unanswered: RefCell<HashMap<Likeness, u32>>,
}

impl Loops {
    pub fn new(public_ip: Box<dyn Fn() -> Option<IpAddr>>) -> Self {
        Self {
            own: RefCell::default(),
            public_ip,
            dialled: RefCell::default(),
            unanswered: RefCell::default(),
        }
    }

    pub fn listening(&self, address: SocketAddr) {
        self.own.borrow_mut().push(address);
    }

    pub fn not_listening(&self, address: SocketAddr) {
        self.own.borrow_mut().retain(|own| *own != address);
    }

    /// Our address as the internet sees it, once it is known.
    #[cfg(feature = "check")]
    pub fn public_ip(&self) -> Option<IpAddr> {
        (self.public_ip)()
    }

    /// Whether a connection to `address` would reach one of our listeners.
    pub fn is_ours(&self, address: SocketAddr) -> bool {
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
    pub fn is_from_us(&self, peer: SocketAddr) -> bool {
        self.dialled.borrow().contains(&peer)
    }

    pub fn dialled(&self, from: SocketAddr) {
        self.dialled.borrow_mut().insert(from);
    }

    pub fn forget(&self, from: SocketAddr) {
        self.dialled.borrow_mut().remove(&from);
    }

    /// One more connection that begins with `first`; `None` if there are too
    /// many. Silent ones are not told apart. Ends with
    /// [`answered`](Self::answered).
    pub fn begin(&self, first: &[u8]) -> Option<Likeness> {
        let first = first.get(..COMPARED.min(first.len())).unwrap_or_default();
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[first]);
        let likeness = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if !first.is_empty() {
            let mut unanswered = self.unanswered.borrow_mut();
            let count = unanswered.entry(likeness).or_default();
            if *count >= MOST_ALIKE {
                return None;
            }
            *count += 1;
        }
        Some(likeness)
    }

    pub fn answered(&self, likeness: Likeness) {
        let mut unanswered = self.unanswered.borrow_mut();
        if let Some(count) = unanswered.get_mut(&likeness) {
            *count -= 1;
            if *count == 0 {
                unanswered.remove(&likeness);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loops(public: Option<&str>, own: &[&str]) -> Loops {
        let public = public.map(|ip| ip.parse().unwrap());
        let loops = Loops::new(Box::new(move || public));
        for address in own {
            loops.listening(address.parse().unwrap());
        }
        loops
    }

    #[test]
    fn our_own_addresses() {
        let is_ours = |loops: &Loops, address: &str| loops.is_ours(address.parse().unwrap());
        let everywhere = loops(Some("192.0.2.7"), &["0.0.0.0:443"]);
        for (address, ours) in [
            ("127.0.0.1:443", true),
            ("[::ffff:127.0.0.1]:443", true),
            ("127.0.0.1:8443", false),
            ("[::1]:443", false),
            ("192.0.2.7:443", true),
            ("192.0.2.7:8443", false),
            ("192.0.2.8:443", false),
        ] {
            assert_eq!(is_ours(&everywhere, address), ours, "{address}");
        }
        let one = loops(None, &["127.0.0.1:443"]);
        assert!(is_ours(&one, "127.0.0.1:443"));
        assert!(!is_ours(&one, "127.0.0.2:443"));
        one.not_listening("127.0.0.1:443".parse().unwrap());
        assert!(!is_ours(&one, "127.0.0.1:443"));
    }

    #[test]
    fn what_goes_round_in_circles_ends() {
        let loops = loops(None, &[]);
        let begun: Vec<_> = (0..20).map(|_| loops.begin(b"hello")).collect();
        assert_eq!(begun.iter().flatten().count(), MOST_ALIKE as usize);
        assert!(loops.begin(b"another").is_some());
        for likeness in begun.into_iter().flatten() {
            loops.answered(likeness);
        }
        assert!(loops.begin(b"hello").is_some());
        assert!((0..20).all(|_| loops.begin(b"").is_some()));
    }
}
