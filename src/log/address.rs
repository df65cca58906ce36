use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much of the addresses of clients, strangers and fronts the log shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogAddresses {
    #[default]
    Full,
    /// The network: of IPv4 24 bits, of IPv6 48.
    Masked,
    None,
}

static SHOWN: AtomicU8 = AtomicU8::new(LogAddresses::Full as u8);

pub(super) fn show(addresses: LogAddresses) {
    SHOWN.store(addresses as u8, Ordering::Relaxed);
}

fn shown() -> LogAddresses {
    let shown = SHOWN.load(Ordering::Relaxed);
    let mut all = LogAddresses::ALL.into_iter().map(|(_, one)| one);
    // What nobody has stored shows nothing.
    all.find(|one| *one as u8 == shown)
        .unwrap_or(LogAddresses::None)
}

/// Where somebody is whom the operator does not name himself, in a line of the log:
/// there it is shown as `--log-addresses` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    ip: IpAddr,
    port: Option<u16>,
}

impl Address {
    /// Whole, if that may be shown: for advice that needs it.
    pub(crate) fn whole(self) -> Option<IpAddr> {
        Self::are_whole().then_some(self.ip)
    }

    /// All are shown whole.
    pub(crate) fn are_whole() -> bool {
        shown() == LogAddresses::Full
    }

    fn write(self, addresses: LogAddresses, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (addresses, self.port) {
            (LogAddresses::Full, Some(port)) => write!(f, "{}", SocketAddr::new(self.ip, port)),
            (LogAddresses::Full, None) => write!(f, "{}", self.ip),
            (LogAddresses::Masked, _) => write!(f, "{}", Masked(self.ip)),
            (LogAddresses::None, _) => f.write_str("somebody"),
        }
    }
}

/// The network that an address is from: enough to tell two people apart, and not to find
/// one.
pub(crate) struct Masked(pub(crate) IpAddr);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                write!(f, "{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                write!(f, "{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip(),
            port: Some(address.port()),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self { ip, port: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(shown(), f)
    }
}

impl LogAddresses {
    const ALL: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("masked", Self::Masked),
        ("none", Self::None),
    ];
}

impl FromStr for LogAddresses {
    type Err = UnknownAddresses;

    fn from_str(text: &str) -> Result<Self, UnknownAddresses> {
        let found = Self::ALL.into_iter().find(|(word, _)| *word == text);
        found
            .map(|(_, addresses)| addresses)
            .ok_or(UnknownAddresses)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownAddresses;

impl fmt::Display for UnknownAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected full, masked or none")
    }
}

impl std::error::Error for UnknownAddresses {}

#[cfg(test)]
mod tests {
    use super::*;

    struct As(LogAddresses, Address);

    impl fmt::Display for As {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.1.write(self.0, f)
        }
    }

    #[test]
    fn an_address_is_whole_a_network_or_nobodys() {
        for (address, masked) in [
            ("203.0.113.77:4000", "203.0.113.0/24"),
            ("[::ffff:203.0.113.77]:4000", "203.0.113.0/24"),
            ("[2001:db8:1:2::3]:4000", "2001:db8:1::/48"),
            ("[::1]:1", "::/48"),
        ] {
            let socket: SocketAddr = address.parse().unwrap();
            for (shown, port) in [(socket.into(), true), (socket.ip().into(), false)] {
                let text = |addresses| As(addresses, shown).to_string();
                let full = match port {
                    true => socket.to_string(),
                    false => socket.ip().to_string(),
                };
                assert_eq!(text(LogAddresses::Full), full);
                assert_eq!(text(LogAddresses::Masked), masked);
                assert_eq!(text(LogAddresses::None), "somebody");
            }
        }
    }

    #[test]
    fn words_are_read() {
        for (word, addresses) in LogAddresses::ALL {
            assert_eq!(word.parse(), Ok(addresses));
        }
        assert_eq!("some".parse::<LogAddresses>(), Err(UnknownAddresses));
    }
}
