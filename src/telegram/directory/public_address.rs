use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use super::fetch::get;
use crate::net::{Notify, Reactor, is_global, unblock};

/// Plain-text services that answer with the asker's address; the first usable
/// answer counts.
const SERVICES: [&str; 4] = [
    "https://api.ipify.org",
    "https://ipv4.icanhazip.com",
    "https://checkip.amazonaws.com",
    "https://ifconfig.me/ip",
];

/// An address can change under a running proxy (a router's does daily).
const CHECK_EVERY: Duration = Duration::from_secs(3600);
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// Under which address Telegram sees this machine. Middle proxies mix it into
/// their keys, so a wrong one means no connection (`doc/protocol.md` §4).
pub struct PublicAddress {
    configured: Cell<Option<IpAddr>>,
    detected: Cell<Option<IpAddr>>,
    said: RefCell<String>,
    changed: Notify,
}

impl PublicAddress {
    pub fn new(configured: Option<IpAddr>) -> Rc<Self> {
        Rc::new(Self {
            configured: Cell::new(configured),
            detected: Cell::new(None),
            said: RefCell::default(),
            changed: Notify::default(),
        })
    }

    /// Takes over --external-ip after a reload.
    pub fn reconfigure(&self, configured: Option<IpAddr>) {
        if self.configured.replace(configured) != configured {
            self.changed.notify();
        }
    }

    /// The address to show to people, if one is known.
    pub fn known(&self) -> Option<IpAddr> {
        self.configured.get().or(self.detected.get())
    }

    /// A connection's local address as Telegram sees it. The port stays: a NAT
    /// that changes ports makes middle proxies impossible.
    pub fn translate(&self, local: SocketAddr) -> SocketAddr {
        let known = [self.configured.get(), self.detected.get()];
        let mut known = known.into_iter().flatten();
        let same_family = known.find(|ip| ip.is_ipv4() == local.is_ipv4());
        match same_family {
            Some(ip) if self.configured.get() == Some(ip) => SocketAddr::new(ip, local.port()),
            Some(ip) if !is_global(local.ip()) && !local.ip().is_loopback() => {
                SocketAddr::new(ip, local.port())
            }
            _ => local,
        }
    }

    /// Finds out the address, says what it means, and looks again hourly.
    pub async fn run(self: Rc<Self>, reactor: &Rc<Reactor>) {
        loop {
            let wait = self.look().await;
            reactor.timeout(wait, self.changed.changed()).await;
        }
    }

    async fn look(&self) -> Duration {
        if let Some(ip) = self.configured.get() {
            self.say(format!("public address {ip}, as given"));
            return CHECK_EVERY;
        }
        let Some(local) = egress_address() else {
            self.say("no route to the internet yet: is the network up?".to_owned());
            return RETRY_AFTER;
        };
        if is_global(local) {
            self.detected.set(Some(local));
            self.say(format!("public address {local}, from the interface"));
            return CHECK_EVERY;
        }
        match unblock(ask_services).await {
            Some(ip) => {
                self.detected.set(Some(ip));
                self.say(format!(
                    "behind NAT: {local} here, {ip} outside; direct mode works, middle mode if \
                     the NAT keeps ports"
                ));
                CHECK_EVERY
            }
            None => {
                self.say(format!(
                    "behind NAT: {local} here, the public address is unknown; direct mode works, \
                     for middle mode set --external-ip"
                ));
                RETRY_AFTER
            }
        }
    }

    fn say(&self, line: String) {
        if *self.said.borrow() != line {
            info!("{line}");
            self.said.replace(line);
        }
    }
}

/// This machine's address as the internet sees it; blocks, seconds at worst
/// a service.
pub fn ask_services() -> Option<IpAddr> {
    SERVICES.iter().find_map(|service| {
        let answer = get(service).ok()?;
        let ip: IpAddr = std::str::from_utf8(&answer.body)
            .ok()?
            .trim()
            .parse()
            .ok()?;
        is_global(ip).then_some(ip)
    })
}

/// The local address of connections to the internet: the kernel tells without
/// a packet being sent.
pub fn egress_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Telegram's DC 2; any global address would do.
    socket
        .connect((Ipv4Addr::new(149, 154, 167, 51), 443))
        .ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn translation() {
        let public = PublicAddress::new(None);
        assert_eq!(
            public.translate(address("10.0.0.2:5")),
            address("10.0.0.2:5")
        );
        public.detected.set(Some("198.18.0.1".parse().unwrap()));
        assert_eq!(
            public.translate(address("10.0.0.2:5")),
            address("198.18.0.1:5")
        );
        assert_eq!(
            public.translate(address("127.0.0.1:5")),
            address("127.0.0.1:5")
        );
        assert_eq!(public.translate(address("8.8.8.8:5")), address("8.8.8.8:5"));
        assert_eq!(
            public.translate(address("[fd00::1]:5")),
            address("[fd00::1]:5")
        );
        public.reconfigure(Some("9.9.9.9".parse().unwrap()));
        assert_eq!(
            public.translate(address("127.0.0.1:5")),
            address("9.9.9.9:5")
        );
        assert_eq!(public.known(), Some("9.9.9.9".parse().unwrap()));
    }
}
