use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::values::{BadValue, bad};

/// A TCP port of another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPort {
    Address(SocketAddr),
    /// To be looked up, in lower case.
    Name {
        name: String,
        port: u16,
    },
}

impl FromStr for HostPort {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Ok(address) = text.parse::<SocketAddr>()
            && address.port() != 0
        {
            return Ok(Self::Address(address));
        }
        let parts = text.rsplit_once(':');
        if let Some((ip, _)) = parts
            && ip.parse::<Ipv6Addr>().is_ok()
        {
            return bad(format!("put the IPv6 address in brackets: [{ip}]"));
        }
        let parsed = parts.and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let name = host_name(host)?;
            Some(Self::Name { name, port })
        });
        parsed.ok_or_else(|| {
            BadValue::new(format!(
                "`{text}`: expected the address or the name of a machine and a port, as in \
                 192.0.2.1:443, [2001:db8::1]:443 or back.example.com:443"
            ))
        })
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

/// `--link-name HOST[:PORT]`: where links send clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkName {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// Where it is another than the listener's, as behind a router.
    pub port: Option<u16>,
}

impl FromStr for LinkName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let alone = match inner.unwrap_or(text).parse::<IpAddr>() {
            Ok(ip) => Some(ip.to_string()),
            Err(_) => host_name(text),
        };
        let (host, port) = match (alone, text.parse::<HostPort>()) {
            (Some(host), _) => (host, None),
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
pub(super) struct ExternalIp(pub IpAddr);

impl FromStr for ExternalIp {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match (text.parse(), host_name(text)) {
            (Ok(ip), _) => Ok(Self(ip)),
            (Err(_), Some(_)) => bad(format!(
                "`{text}` is a name, and this is the address that Telegram sees; for links to \
                 carry the name, give --link-name {text}"
            )),
            (Err(_), None) => bad(format!(
                "`{text}`: expected an address, as in 192.0.2.1 or 2001:db8::1"
            )),
        }
    }
}

/// `text` in lower case, if it may be a machine's name. One whose last part is
/// a number is an address with a slip, and some resolvers would guess which.
pub(super) fn host_name(text: &str) -> Option<String> {
    let is_part = |part: &str| {
        let mut letters = part.bytes();
        (1..=63).contains(&part.len())
            && letters.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let mut parts = text.split('.').rev();
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_fine = text.len() <= 253
        && !parts.clone().next().is_some_and(is_number)
        && parts.all(is_part)
        && text.parse::<IpAddr>().is_err();
    is_fine.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("192.0.2.1:8443", "192.0.2.1", Some(8443)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
        ] {
            let host = host.to_owned();
            assert_eq!(text.parse(), Ok(LinkName { host, port }));
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
            let error = text.parse::<LinkName>().unwrap_err().to_string();
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
