use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Of networks that exist in documents only.
const NOBODYS: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 0),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
);

/// Whether `ip` belongs to this machine, whatever the interface: the kernel
/// lets nobody bind an address of somebody else, unless `ip_nonlocal_bind` is set.
pub fn is_local_address(ip: IpAddr) -> bool {
    let can_be_bound = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    let nobodys = match ip {
        IpAddr::V4(_) => NOBODYS.0.into(),
        IpAddr::V6(_) => NOBODYS.1.into(),
    };
    can_be_bound(ip) && (ip.is_loopback() || !can_be_bound(nobodys) || comes_from_itself(ip))
}

/// Whether the way to `ip` begins there. It ends there, too, but for the second
/// address of an interface, to which the way is from the first.
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

/// Whether it is of a machine's own, or of a private network's: more than one
/// machine of the world has it.
pub fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

/// Whether the internet can route to it.
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            !(is_internal(ip) || v4.is_documentation() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(ip) => ip
            .segments()
            .first()
            .is_some_and(|first| first & 0xe000 == 0x2000),
    }
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

    #[test]
    fn global_addresses() {
        for (ip, global) in [
            ("8.8.8.8", true),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("169.254.1.1", false),
            ("2a00::1", true),
            ("fe80::1", false),
            ("fd00::1", false),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!((is_global(ip), is_internal(ip)), (global, !global), "{ip}");
        }
    }
}
