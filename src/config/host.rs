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
