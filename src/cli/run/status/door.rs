//! From where somebody asks, and by which name.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::Reach;
use crate::http::Exchange;
use crate::wire::http::RequestHead;

/// What a server in between adds.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What `Host` calls us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Loopback,
    Address,
    /// A name that leads wherever its owner says, or none.
    Other,
}

pub(super) struct Door {
    named: Named,
    is_forwarded: bool,
    /// Ours and the caller's.
    ends: Option<[IpAddr; 2]>,
}

impl Door {
    pub(crate) fn of(head: &RequestHead, exchange: &Exchange) -> Self {
        let socket = exchange.connection().socket();
        let ends = socket.local_address().and_then(|local| {
            let peer = socket.peer_address()?;
            Ok([local, peer].map(|end| end.ip().to_canonical()))
        });
        let mut added = FORWARDED.iter();
        Self {
            named: named(head.fields().only("host")),
            is_forwarded: added.any(|name| head.fields().named(name).next().is_some()),
            ends: ends.ok(),
        }
    }

    /// No name of somebody else's has led a browser here.
    pub(crate) fn is_by_address(&self) -> bool {
        self.named != Named::Other
    }

    /// Somebody on this machine asks, or by a tunnel to it, and knows whom.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        let is_near = |ends: &[IpAddr; 2]| ends.iter().all(IpAddr::is_loopback);
        self.named == Named::Loopback
            && !self.is_forwarded
            && self.ends.as_ref().is_some_and(is_near)
    }

    /// What is said here others can read.
    pub(crate) fn is_through_internet(&self) -> bool {
        let is_ours = |end: &IpAddr| Reach::of(*end) == Reach::Ours;
        !self.ends.is_some_and(|ends| ends.iter().all(is_ours))
    }
}

fn named(host: Option<&[u8]>) -> Named {
    let Some(host) = host.and_then(|host| std::str::from_utf8(host).ok()) else {
        return Named::Other;
    };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if name.parse::<Ipv6Addr>().is_ok() => (name, port),
            _ => return Named::Other,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return Named::Other;
    }
    match name.parse::<IpAddr>() {
        Ok(ip) if ip.to_canonical().is_loopback() => Named::Loopback,
        Ok(_) => Named::Address,
        Err(_) if name.eq_ignore_ascii_case("localhost") => Named::Loopback,
        Err(_) => Named::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_this_machine_has() {
        for (host, wanted) in [
            ("localhost", Named::Loopback),
            ("LocalHost:9090", Named::Loopback),
            ("127.0.0.1:9090", Named::Loopback),
            ("127.3.2.1", Named::Loopback),
            ("[::1]:9090", Named::Loopback),
            ("[::ffff:127.0.0.1]", Named::Loopback),
            ("192.168.1.1:9090", Named::Address),
            ("[2001:db8::1]", Named::Address),
            ("0.0.0.0", Named::Address),
            ("", Named::Other),
            ("example.com:9090", Named::Other),
            ("localhost.example.com", Named::Other),
            ("127.0.0.1.example.com", Named::Other),
            ("localhost@example.com", Named::Other),
            ("localhost:90:90", Named::Other),
            ("localhost:example.com", Named::Other),
            ("[::1", Named::Other),
            ("[localhost]", Named::Other),
            ("[::1].example.com", Named::Other),
            ("::1", Named::Other),
            ("2130706433", Named::Other),
            ("127.1", Named::Other),
        ] {
            assert_eq!(named(Some(host.as_bytes())), wanted, "{host}");
        }
        assert_eq!(named(None), Named::Other);
        assert_eq!(named(Some(b"\xff")), Named::Other);
    }

    #[test]
    fn which_connections_others_can_read() {
        let through = |ends: [&str; 2]| {
            let door = Door {
                named: Named::Other,
                is_forwarded: false,
                ends: Some(ends.map(|end| end.parse().unwrap())),
            };
            door.is_through_internet()
        };
        assert!(!through(["127.0.0.1", "127.0.0.1"]));
        assert!(!through(["192.168.1.1", "192.168.1.7"]));
        assert!(!through(["fd00::1", "fe80::2"]));
        // Behind a NAT of a cloud only who asks is seen to be outside.
        assert!(through(["10.0.0.2", "8.8.8.8"]));
        assert!(through(["8.8.8.8", "10.0.0.2"]));
        assert!(through(["2a00::1", "2a00::2"]));
    }
}
