use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::listen_address::includes;
use super::values::{BadValue, bad};
use crate::wire::secret::Domain;

/// A machine, by its address or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    /// To be looked up, in lower case.
    Name(String),
}

/// Why a text names no machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHost<'a> {
    /// It is an IPv6 address, which needs brackets where a port may follow.
    Bare(&'a str, Ipv6Addr),
    Other,
}

impl Host {
    /// An address, in brackets if it is an IPv6 one, or a name.
    pub(crate) fn parse(text: &str) -> Result<Self, NoHost<'_>> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(inner) = inner {
            return inner.parse().map(Self::Address).map_err(|_| NoHost::Other);
        }
        match text.parse() {
            Ok(IpAddr::V6(address)) => Err(NoHost::Bare(text, address)),
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => host_name(text).map(Self::Name).ok_or(NoHost::Other),
        }
    }

    /// The same where no port follows: IPv6 addresses do without their brackets.
    pub(crate) fn alone(text: &str) -> Option<Self> {
        match Self::parse(text) {
            Err(NoHost::Bare(_, address)) => Some(Self::Address(address.into())),
            host => host.ok(),
        }
    }

    /// `HOST:PORT`, any port but 0.
    pub(crate) fn with_port(text: &str) -> Result<(Self, u16), NoHost<'_>> {
        let (host, port) = text.rsplit_once(':').ok_or(NoHost::Other)?;
        let host = Self::parse(host)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok((host, port.ok_or(NoHost::Other)?))
    }
}

impl fmt::Display for Host {
    /// Without brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A TCP port of another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPort {
    Address(SocketAddr),
    /// To be looked up, in lower case.
    Name {
        name: String,
        port: u16,
    },
}

impl HostPort {
    /// Whether who listens at `own` is surely meant by it.
    pub(super) fn is_at(&self, own: SocketAddr) -> bool {
        let same = |address: SocketAddr| {
            own == address || includes(own, address) && address.ip().is_loopback()
        };
        match self {
            // The kernel takes no address for this machine's own.
            Self::Address(address) if address.ip().is_unspecified() => {
                let loopback: IpAddr = match address.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                same((loopback, address.port()).into())
            }
            Self::Address(address) => same(*address),
            Self::Name { name, port } => {
                name == "localhost" && same((Ipv4Addr::LOCALHOST, *port).into())
            }
        }
    }
}

impl FromStr for HostPort {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        // Among others those with a zone, `[fe80::1%2]:443`.
        if let Ok(address) = text.parse::<SocketAddr>()
            && address.port() != 0
        {
            return Ok(Self::Address(address));
        }
        match Host::with_port(text) {
            Ok((Host::Address(ip), port)) => Ok(Self::Address((ip, port).into())),
            Ok((Host::Name(name), port)) => Ok(Self::Name { name, port }),
            Err(NoHost::Bare(ip, _)) => bad(format!("put the IPv6 address in brackets: [{ip}]")),
            Err(NoHost::Other) => bad(format!(
                "`{text}`: expected the address or the name of a machine and a port, as in \
                 192.0.2.1:443, [2001:db8::1]:443 or back.example.com:443"
            )),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// `--link-name HOST[:PORT]`: where invites send clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InviteName {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub(crate) host: String,
    /// Where it is another than the listener's, as behind a router.
    pub(crate) port: Option<u16>,
}

impl FromStr for InviteName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (host, port) = match (Host::alone(text), text.parse::<HostPort>()) {
            (Some(host), _) => (host.to_string(), None),
            (None, Ok(HostPort::Address(place))) => (place.ip().to_string(), Some(place.port())),
            (None, Ok(HostPort::Name { name, port })) => (name, Some(port)),
            (None, Err(_)) => {
                return bad(format!(
                    "`{text}`: expected the name or the address that links carry, with a port only \
                     if it is another than the listener's, as in proxy.example.com, 192.0.2.1 or \
                     [2001:db8::1]:443"
                ));
            }
        };
        Ok(Self { host, port })
    }
}

/// `--external-ip IP`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExternalIp(pub(crate) IpAddr);

impl FromStr for ExternalIp {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match Host::alone(text) {
            Some(Host::Address(ip)) => Ok(Self(ip)),
            Some(Host::Name(_)) => bad(format!(
                "`{text}` is a name, and this is the address that Telegram sees; for links to \
                 carry the name, give --link-name {text}"
            )),
            None => bad(format!(
                "`{text}`: expected an address, as in 192.0.2.1 or 2001:db8::1"
            )),
        }
    }
}

/// `text` in lower case, if it may be a machine's name. One whose last part is
/// a number is an address with a slip, and some resolvers would guess which.
fn host_name(text: &str) -> Option<String> {
    let domain = Domain::from_sni(text.as_bytes()).ok()?;
    (!domain.is_address()).then(|| domain.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts() {
        let address = |text: &str| Ok(Host::Address(text.parse().unwrap()));
        let bare = |text| match Host::parse(text) {
            Err(NoHost::Bare(as_given, _)) => as_given == text,
            _ => false,
        };
        for text in ["192.0.2.1", "[192.0.2.1]"] {
            assert_eq!(Host::parse(text), address("192.0.2.1"));
        }
        assert_eq!(Host::parse("[2001:DB8::1]"), address("2001:db8::1"));
        assert_eq!(Host::parse("[::ffff:1.2.3.4]"), address("::ffff:1.2.3.4"));
        let name = Ok(Host::Name("a_b-c.9x".to_owned()));
        assert_eq!(Host::parse("A_b-C.9x"), name);
        assert!(bare("2001:DB8::1") && bare("::"));
        assert_eq!(Host::alone("::1").unwrap().to_string(), "::1");
        assert_eq!(Host::alone("[::1]").unwrap().to_string(), "::1");
        let longest = format!("{}.{}", ["a"; 126].join("."), "b");
        assert!(Host::parse(&longest).is_ok() && Host::parse(&format!("{longest}b")).is_err());
        for wrong in [
            "",
            "[",
            "[]",
            "[[::1]]",
            "[::1",
            "::1]",
            "[::1]x",
            "[192.0.2.300]",
            "[h]",
            "[fe80::1%eth0]",
            "fe80::1%2",
            "[fe80::1%2]",
            "192.0.2.300",
            "10.1",
            "a..b",
            "a.",
            ".a",
            "a b",
            "a/b",
            "a:1",
            "*",
            "прокси",
        ] {
            assert_eq!(Host::parse(wrong), Err(NoHost::Other), "{wrong}");
            assert_eq!(Host::alone(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_link_local_back_may_have_a_zone() {
        let back = "[fe80::1%2]:443".parse::<HostPort>().unwrap();
        let HostPort::Address(SocketAddr::V6(address)) = back else {
            panic!("{back:?}");
        };
        assert_eq!(address.scope_id(), 2);
        assert!("[fe80::1%eth0]:443".parse::<HostPort>().is_err());
        assert!("fe80::1%2:443".parse::<HostPort>().is_err());
    }

    proptest! {
        #[test]
        fn addresses_are_themselves(ip: IpAddr, port in 1_u16..) {
            let written = SocketAddr::new(ip, port).to_string();
            prop_assert_eq!(Host::with_port(&written), Ok((Host::Address(ip), port)));
            prop_assert_eq!(written.parse(), Ok(HostPort::Address((ip, port).into())));
            prop_assert_eq!(Host::alone(&ip.to_string()), Some(Host::Address(ip)));
        }

        #[test]
        fn names_are_themselves_in_lower_case(name in "[a-zA-Z_-][a-zA-Z0-9_-]{0,20}(\\.[a-z]{1,9}){0,3}", port in 1_u16..) {
            let host = Host::Name(name.to_ascii_lowercase());
            prop_assert_eq!(Host::alone(&name), Some(host.clone()));
            let written = format!("{name}:{port}");
            prop_assert_eq!(Host::with_port(&written), Ok((host, port)));
        }

        #[test]
        fn any_text(text in "[\\[\\]0-9a-f:.%]{0,24}|.{0,24}") {
            let _ = (Host::with_port(&text), text.parse::<HostPort>(), text.parse::<InviteName>());
            if let Some(host) = Host::alone(&text) {
                prop_assert_eq!(Host::alone(&host.to_string()), Some(host));
            }
        }
    }

    #[test]
    fn addresses_and_names() {
        for text in [
            "192.0.2.1:443",
            "[2001:db8::1]:1",
            "back.example.com:65535",
            "router:80",
            "a_b-c.9x:1",
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        let name = "Back.Example.COM:443".parse::<HostPort>().unwrap();
        assert_eq!(name.to_string(), "back.example.com:443");
    }

    #[test]
    fn what_links_carry() {
        for (text, host, port) in [
            ("Proxy.Example.com", "proxy.example.com", None),
            ("h", "h", None),
            ("192.0.2.1", "192.0.2.1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:DB8::1]", "2001:db8::1", None),
            ("proxy.example.com:443", "proxy.example.com", Some(443)),
            ("[192.0.2.1]", "192.0.2.1", None),
            ("192.0.2.1:8443", "192.0.2.1", Some(8443)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
        ] {
            let host = host.to_owned();
            assert_eq!(text.parse(), Ok(InviteName { host, port }));
        }
        for text in [
            "",
            "https://h",
            "h/x",
            "h:0",
            "h:",
            "a b",
            "192.0.2.300",
            "[h]",
            "[::1]x",
            "h:443:443",
            "прокси.example",
        ] {
            let error = text.parse::<InviteName>().unwrap_err().to_string();
            assert!(error.contains("as in proxy.example.com"), "{error}");
        }
    }

    #[test]
    fn a_name_is_no_address_and_may_stand_elsewhere() {
        let parse = |text: &str| text.parse::<ExternalIp>();
        assert_eq!(
            parse("2001:db8::1"),
            Ok(ExternalIp("2001:db8::1".parse().unwrap()))
        );
        for (text, way_out) in [
            ("home.example.org", "give --link-name home.example.org"),
            ("192.0.2.1:443", "expected an address"),
            ("192.0.2.300", "expected an address"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(way_out), "{error}");
        }
    }

    #[test]
    fn slips_name_the_way_out() {
        for (text, cause) in [
            ("", "expected the address or the name"),
            ("back.example.com", "expected the address or the name"),
            ("192.0.2.1", "and a port, as in 192.0.2.1:443"),
            ("192.0.2.1:0", "`192.0.2.1:0`: expected"),
            ("192.0.2.300:443", "`192.0.2.300:443`: expected"),
            ("10.1:443", "`10.1:443`: expected"),
            ("back.example.com:0", "expected"),
            ("back.example.com:65536", "expected"),
            ("back..example:443", "expected"),
            (".:443", "expected"),
            (":443", "expected"),
            ("*:443", "expected"),
            ("a b:443", "expected"),
            ("<BACK-ADDRESS>:443", "`<BACK-ADDRESS>:443`: expected"),
            ("https://back.example.com:443", "expected"),
            ("2001:db8::1:443", "in brackets: [2001:db8::1]"),
        ] {
            let error = text.parse::<HostPort>().unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
