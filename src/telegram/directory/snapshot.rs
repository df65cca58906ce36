//! Where Telegram was when this was written (`doc/protocol.md` §2, §5): what
//! the proxy starts with when nothing newer can be had.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::wire::dc::DcId;
use crate::wire::proxy_config::ProxyConfig;

/// Telegram's proxy secret.
pub(super) const PROXY_SECRET: [u8; 128] = [
    0xc4, 0xf9, 0xfa, 0xca, 0x96, 0x78, 0xe6, 0xbb, 0x48, 0xad, 0x6c, 0x7e, 0x2c, 0xe5, 0xc0, 0xd2,
    0x44, 0x30, 0x64, 0x5d, 0x55, 0x4a, 0xdd, 0xeb, 0x55, 0x41, 0x9e, 0x03, 0x4d, 0xa6, 0x27, 0x21,
    0xd0, 0x46, 0xea, 0xab, 0x6e, 0x52, 0xab, 0x14, 0xa9, 0x5a, 0x44, 0x3e, 0xcf, 0xb3, 0x46, 0x3e,
    0x79, 0xa0, 0x5a, 0x66, 0x61, 0x2a, 0xdf, 0x9c, 0xae, 0xda, 0x8b, 0xe9, 0xa8, 0x0d, 0xa6, 0x98,
    0x6f, 0xb0, 0xa6, 0xff, 0x38, 0x7a, 0xf8, 0x4d, 0x88, 0xef, 0x3a, 0x64, 0x13, 0x71, 0x3e, 0x5c,
    0x33, 0x77, 0xf6, 0xe1, 0xa3, 0xd4, 0x7d, 0x99, 0xf5, 0xe0, 0xc5, 0x6e, 0xec, 0xe8, 0xf0, 0x5c,
    0x54, 0xc4, 0x90, 0xb0, 0x79, 0xe3, 0x1b, 0xef, 0x82, 0xff, 0x0e, 0xe8, 0xf2, 0xb0, 0xa3, 0x27,
    0x56, 0xd2, 0x49, 0xc5, 0xf2, 0x12, 0x69, 0x81, 0x6c, 0xb7, 0x06, 0x1b, 0x26, 0x5d, 0xb2, 0x12,
];

/// Where clients with an unknown DC id go through middle proxies.
const DEFAULT: DcId = DcId(2);

/// Port of every DC for direct connections.
const DIRECT_PORT: u16 = 443;

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// 2001:a:b:c::d, as all of Telegram's are.
const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, a, b, c, 0, 0, 0, d)
}

const MIDDLE_V4: [(i16, Ipv4Addr, u16); 10] = [
    (1, v4(149, 154, 175, 50), 8888),
    (-1, v4(149, 154, 175, 50), 8888),
    (2, v4(149, 154, 161, 144), 8888),
    (-2, v4(149, 154, 161, 144), 8888),
    (3, v4(149, 154, 175, 100), 8888),
    (-3, v4(149, 154, 175, 100), 8888),
    (4, v4(91, 108, 4, 136), 8888),
    (-4, v4(149, 154, 165, 109), 8888),
    (5, v4(91, 108, 56, 183), 8888),
    (-5, v4(91, 108, 56, 183), 8888),
];

const MIDDLE_V6: [(i16, Ipv6Addr, u16); 5] = [
    (1, v6(0xb28, 0xf23d, 0xf001, 0xd), 8888),
    (2, v6(0x67c, 0x4e8, 0xf002, 0xd), 80),
    (3, v6(0xb28, 0xf23d, 0xf003, 0xd), 8888),
    (4, v6(0x67c, 0x4e8, 0xf004, 0xd), 8888),
    (5, v6(0xb28, 0xf23f, 0xf005, 0xd), 8888),
];

const DIRECT_V4: [(u16, Ipv4Addr); 6] = [
    (1, v4(149, 154, 175, 50)),
    (2, v4(149, 154, 167, 51)),
    (3, v4(149, 154, 175, 100)),
    (4, v4(149, 154, 167, 91)),
    (5, v4(149, 154, 171, 5)),
    (203, v4(91, 105, 192, 100)),
];

const DIRECT_V6: [(u16, Ipv6Addr); 5] = [
    (1, v6(0xb28, 0xf23d, 0xf001, 0xa)),
    (2, v6(0x67c, 0x4e8, 0xf002, 0xa)),
    (3, v6(0xb28, 0xf23d, 0xf003, 0xa)),
    (4, v6(0x67c, 0x4e8, 0xf004, 0xa)),
    (5, v6(0xb28, 0xf23f, 0xf005, 0xa)),
];

const TEST_V4: [(u16, Ipv4Addr); 3] = [
    (1, v4(149, 154, 175, 10)),
    (2, v4(149, 154, 167, 40)),
    (3, v4(149, 154, 175, 117)),
];

pub(super) fn middle_v4() -> ProxyConfig {
    config(
        MIDDLE_V4
            .map(|(dc, ip, port)| (dc, SocketAddr::from((ip, port))))
            .to_vec(),
    )
}

pub(super) fn middle_v6() -> ProxyConfig {
    config(
        MIDDLE_V6
            .map(|(dc, ip, port)| (dc, SocketAddr::from((ip, port))))
            .to_vec(),
    )
}

fn config(entries: Vec<(i16, SocketAddr)>) -> ProxyConfig {
    let entries = entries.into_iter().map(|(dc, address)| (DcId(dc), address));
    ProxyConfig {
        default: DEFAULT,
        entries: entries.collect(),
    }
}

/// Addresses of a DC for direct connections, IPv4 first; none if there is no
/// such DC.
pub(super) fn direct(dc: DcId) -> Vec<SocketAddr> {
    let number = dc.number();
    let v4: &[(u16, Ipv4Addr)] = if dc.is_test() { &TEST_V4 } else { &DIRECT_V4 };
    let v6: &[(u16, Ipv6Addr)] = if dc.is_test() { &[] } else { &DIRECT_V6 };
    let v4 = v4.iter().filter(|(id, _)| *id == number);
    let v6 = v6.iter().filter(|(id, _)| *id == number);
    v4.map(|(_, ip)| SocketAddr::from((*ip, DIRECT_PORT)))
        .chain(v6.map(|(_, ip)| SocketAddr::from((*ip, DIRECT_PORT))))
        .collect()
}
