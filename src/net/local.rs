use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Of networks that exist in documents only.
const NOBODYS: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 0),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
);

/// Whether `ip` belongs to this machine, whatever the interface: the kernel
/// lets nobody bind an address of somebody else, unless `ip_nonlocal_bind` is set.
pub(crate) fn is_local_address(ip: IpAddr) -> bool {
    let can_be_bound = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    let nobodys = match ip {
        IpAddr::V4(_) => NOBODYS.0.into(),
        IpAddr::V6(_) => NOBODYS.1.into(),
    };
    can_be_bound(ip) && (ip.is_loopback() || !can_be_bound(nobodys) || comes_from_itself(ip))
}

/// Whether the kernel would send from `ip` to reach `ip`. It does for any address of
/// this machine but the second one of an interface, which is reached from the
/// first.
fn comes_from_itself(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent.
    let local = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    local.is_ok_and(|local| local.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_documentation_is_not() {
        assert!(is_local_address("127.0.0.1".parse().unwrap()));
        assert!(is_local_address("127.9.8.7".parse().unwrap()));
        assert!(!is_local_address("192.0.2.1".parse().unwrap()));
        assert!(!is_local_address("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn the_way_to_ourselves_begins_with_us() {
        assert!(comes_from_itself("127.0.0.1".parse().unwrap()));
        assert!(!comes_from_itself("192.0.2.1".parse().unwrap()));
    }
}
