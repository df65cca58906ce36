use std::net::SocketAddr;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    pub(crate) address: SocketAddr,
    /// The IPv6 half of "all addresses": a machine without IPv6 does without.
    pub(crate) optional: bool,
    /// This machine may get the address later.
    pub(crate) late: bool,
}

impl ListenAddress {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            optional: false,
            late: false,
        }
    }
}

/// Whether `wide` is all addresses of a port of which `narrow` has one.
pub(crate) fn includes(wide: SocketAddr, narrow: SocketAddr) -> bool {
    wide.port() == narrow.port()
        && wide.is_ipv4() == narrow.is_ipv4()
        && wide.ip().is_unspecified()
        && !narrow.ip().is_unspecified()
}

/// Whether the kernel gives one process no port at both.
pub(crate) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one == other || includes(one, other) || includes(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_family_include_each() {
        let addresses = ["0.0.0.0:1", "127.0.0.1:1", "[::]:1", "[::1]:1", "0.0.0.0:2"];
        let addresses = addresses.map(|text| text.parse::<SocketAddr>().unwrap());
        for (i, wide) in addresses.iter().enumerate() {
            for (j, narrow) in addresses.iter().enumerate() {
                let wanted = matches!((i, j), (0, 1) | (2, 3));
                assert_eq!(includes(*wide, *narrow), wanted, "{wide} {narrow}");
                let both = wanted || i == j || matches!((j, i), (0, 1) | (2, 3));
                assert_eq!(overlap(*wide, *narrow), both, "{wide} {narrow}");
            }
        }
    }
}
