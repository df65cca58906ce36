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
    pub client: SocketAddr,
    /// The other end of its socket.
    pub sender: SocketAddr,
    pub received: &'a [u8],
    /// Where its site is. A relay there may lead back to us.
    pub site: &'a [SocketAddr],
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
    pub fn new(public_ip: Box<dyn Fn() -> Option<IpAddr>>) -> Self {
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
    pub fn begin(&self, comer: &Comer<'_>) -> Result<Begun, Circle> {
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
    pub async fn begin_later(&self, comer: &Comer<'_>) -> Option<Begun> {
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
    pub fn dialled(
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
    pub fn answered(&self, begun: Begun) {
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
mod tests {
    use super::*;

    const SITE: &str = "192.0.2.80:443";

    fn loops(public: Option<&str>, own: &[&str]) -> Loops {
        let public = public.map(|ip| ip.parse().unwrap());
        let loops = Loops::new(Box::new(move || public));
        for address in own {
            loops.listening(address.parse().unwrap());
        }
        loops
    }

    fn begin(loops: &Loops, from: &str, received: &[u8]) -> Result<Begun, Circle> {
        let from: SocketAddr = from.parse().unwrap();
        through(loops, from, from, received)
    }

    fn through(
        loops: &Loops,
        client: SocketAddr,
        sender: SocketAddr,
        received: &[u8],
    ) -> Result<Begun, Circle> {
        loops.begin(&Comer {
            client,
            sender,
            received,
            site: &[SITE.parse().unwrap()],
        })
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
    fn who_may_be_ourselves() {
        let loops = loops(Some("198.51.100.7"), &[]);
        let site = [SITE.parse().unwrap()];
        for (ip, may_be) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.17.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.3.4", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            // Ours as the internet sees it, and the site's.
            ("198.51.100.7", true),
            ("192.0.2.80", true),
            ("::ffff:192.0.2.80", true),
            ("198.51.100.8", false),
            ("203.0.113.9", false),
            ("2001:db8::1", false),
            ("2a00::1", false),
        ] {
            assert_eq!(
                loops.may_be_ours(ip.parse().unwrap(), &site),
                may_be,
                "{ip}"
            );
        }
    }

    #[test]
    fn what_goes_round_in_circles_ends() {
        let loops = loops(None, &[]);
        let from = |n: u32| format!("10.0.0.1:{}", 1000 + n);
        let begun: Vec<_> = (0..20).map(|n| begin(&loops, &from(n), b"hello")).collect();
        assert_eq!(begun.iter().flatten().count(), MAX_ROUNDS as usize);
        assert_eq!(begin(&loops, SITE, b"hello").err(), Some(Circle::Alike));
        assert!(begin(&loops, SITE, b"another").is_ok());
        for begun in begun.into_iter().flatten() {
            loops.answered(begun);
        }
        assert!(begin(&loops, SITE, b"hello").is_ok());
        assert!((0..20).all(|n| begin(&loops, &from(n), b"").is_ok()));
    }

    #[test]
    fn a_crowd_from_elsewhere_is_no_circle() {
        let loops = loops(Some("198.51.100.7"), &[]);
        let mut held = Vec::new();
        for n in 0..1000 {
            let from = format!("203.0.113.9:{}", 30_000 + 2 * n);
            let mut begun = begin(&loops, &from, b"hello").ok().unwrap();
            // Now and then of the same port as somebody's.
            let ours = format!("198.51.100.7:{}", 30_001 + 7 * n % 2000);
            let client = from.parse().unwrap();
            loops.dialled(&mut begun, client, b"hello", ours.parse().unwrap());
            held.push(begun);
        }
        // Nor does it make one of what comes from our network.
        assert!(begin(&loops, "10.0.0.1:1", b"hello").is_ok());
        for begun in held {
            loops.answered(begun);
        }
        assert!(loops.dialled.borrow().is_empty() && loops.unanswered.borrow().len() == 1);
    }

    /// A NAT elsewhere that keeps ports: each comes from the port of the one
    /// before, whatever the address, and has a few bytes more or less.
    #[test]
    fn a_chain_is_known_by_its_ports() {
        let loops = loops(None, &[]);
        let mut chain = Vec::new();
        let mut from: SocketAddr = "203.0.113.9:1000".parse().unwrap();
        for round in 0..20u16 {
            let received = &b"hello, site"[..5 + usize::from(round) % 3];
            match through(&loops, from, from, received) {
                Ok(mut begun) => {
                    let ours = SocketAddr::new([192, 0, 2, 7].into(), 40_000 + round);
                    loops.dialled(&mut begun, from, received, ours);
                    from.set_port(ours.port());
                    chain.push(begun);
                }
                Err(circle) => {
                    assert_eq!(circle, Circle::Ports);
                    break;
                }
            }
        }
        assert_eq!(chain.len(), MAX_ROUNDS as usize);
        // What begins otherwise comes from the same port by chance.
        assert!(through(&loops, from, from, b"GET /").is_ok());
        for begun in chain {
            loops.answered(begun);
        }
        assert!(through(&loops, from, from, b"hello").is_ok());
    }

    /// A relay that hears from us who comes, and tells it us.
    #[test]
    fn a_client_that_is_told_again_and_again_is_a_chain() {
        let loops = loops(None, &[]);
        let client = "203.0.113.9:1000".parse().unwrap();
        let mut chain = Vec::new();
        for round in 0..20 {
            let relay = SocketAddr::new([192, 0, 2, 8].into(), 50_000 + round);
            let begun = through(&loops, client, relay, b"hello");
            let Ok(mut begun) = begun else {
                assert_eq!(begun.err(), Some(Circle::Ports));
                break;
            };
            let ours = SocketAddr::new([192, 0, 2, 7].into(), 40_000 + round);
            loops.dialled(&mut begun, client, b"hello", ours);
            chain.push(begun);
        }
        assert_eq!(chain.len(), MAX_ROUNDS as usize);
        // Another of its connections, what it says besides, and one that only has
        // its port.
        let relay: SocketAddr = "192.0.2.8:60000".parse().unwrap();
        for (client, received) in [
            ("203.0.113.9:1001", "hello"),
            ("203.0.113.9:1000", "GET /"),
            ("203.0.113.10:1000", "hello"),
        ] {
            let begun = through(&loops, client.parse().unwrap(), relay, received.as_bytes());
            assert!(begun.is_ok_and(|begun| begun.rounds == 0), "{client}");
        }
        for begun in chain {
            loops.answered(begun);
        }
        assert!(loops.dialled.borrow().is_empty() && loops.told.borrow().is_empty());
    }

    #[test]
    fn what_comes_from_where_we_are_on_the_way_is_ours() {
        let loops = loops(None, &[]);
        let ours: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        let relay: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let stranger = "203.0.113.9:1000".parse().unwrap();
        let mut begun = through(&loops, stranger, relay, b"hello").ok().unwrap();
        loops.dialled(&mut begun, stranger, b"hello", ours);
        assert!(loops.is_from_us("[::ffff:192.0.2.7]:40000".parse().unwrap()));
        for sender in [ours, relay] {
            let came_back = through(&loops, ours, sender, b"other").err();
            assert_eq!(came_back, Some(Circle::Ports));
            // A relay's own port says nothing.
            assert!(through(&loops, stranger, sender, b"other").is_ok());
        }
        loops.answered(begun);
        assert!(through(&loops, ours, ours, b"hello").is_ok());
    }
}
