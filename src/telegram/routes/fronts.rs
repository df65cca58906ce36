//! Telegram's web fronts: their addresses, and what each DC is called there. Pure.

use std::net::{Ipv4Addr, SocketAddr};

use crate::wire::dc::DcId;

/// The CDN's DC, which the fronts of another one serve.
const CDN: u16 = 203;
const CDN_AT: u16 = 2;

pub(super) const HTTPS: u16 = 443;

/// Where a DC is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fronts {
    /// In the order to try them in.
    pub(super) addresses: Vec<SocketAddr>,
    /// One of these is the DC's name, the first one more likely.
    pub(super) hosts: [String; 2],
    pub(super) path: &'static str,
}

impl Fronts {
    /// `given` are addresses of DCs, which stand for those built in; `None`: nobody serves
    /// this one.
    pub(super) fn of(dc: DcId, given: &[(DcId, SocketAddr)]) -> Option<Self> {
        let number = match dc.number() {
            CDN => CDN_AT,
            number => number,
        };
        let of = |wanted: &dyn Fn(DcId) -> bool| -> Vec<SocketAddr> {
            let of_dc = given.iter().filter(|(id, _)| wanted(*id));
            of_dc.map(|(_, address)| *address).collect()
        };
        // Media servers may be given apart, and so may the CDN; else they are their DC's.
        let is_near = |id: DcId| !id.is_media() && id.is_test() == dc.is_test();
        let mut addresses = of(&|id| id == dc);
        for wanted in [dc.number(), number] {
            if addresses.is_empty() {
                addresses = of(&|id| id.number() == wanted && is_near(id));
            }
        }
        if addresses.is_empty() {
            let built_in = built_in(number).iter();
            addresses = built_in.map(|ip| SocketAddr::from((*ip, HTTPS))).collect();
        }
        if addresses.is_empty() {
            return None;
        }
        let plain = format!("kws{number}.web.telegram.org");
        let media = format!("kws{number}-1.web.telegram.org");
        Some(Self {
            addresses,
            hosts: match dc.is_media() {
                true => [media, plain],
                false => [plain, media],
            },
            path: match dc.is_test() {
                true => "/apiws_test",
                false => "/apiws",
            },
        })
    }
}

fn built_in(number: u16) -> &'static [Ipv4Addr] {
    const MOST: [Ipv4Addr; 2] = [
        Ipv4Addr::new(149, 154, 167, 220),
        Ipv4Addr::new(149, 154, 167, 99),
    ];
    const MIAMI: [Ipv4Addr; 1] = [Ipv4Addr::new(149, 154, 174, 100)];
    const SINGAPORE: [Ipv4Addr; 1] = [Ipv4Addr::new(149, 154, 170, 100)];
    match number {
        2 | 4 => &MOST,
        1 | 3 => &MIAMI,
        5 => &SINGAPORE,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dc_has_its_names_and_addresses() {
        for (dc, addresses, host, path) in [
            (
                2,
                &["149.154.167.220:443", "149.154.167.99:443"][..],
                "kws2",
                "/apiws",
            ),
            (
                -4,
                &["149.154.167.220:443", "149.154.167.99:443"],
                "kws4-1",
                "/apiws",
            ),
            (
                203,
                &["149.154.167.220:443", "149.154.167.99:443"],
                "kws2",
                "/apiws",
            ),
            (
                -203,
                &["149.154.167.220:443", "149.154.167.99:443"],
                "kws2-1",
                "/apiws",
            ),
            (1, &["149.154.174.100:443"], "kws1", "/apiws"),
            (5, &["149.154.170.100:443"], "kws5", "/apiws"),
            (10_003, &["149.154.174.100:443"], "kws3", "/apiws_test"),
        ] {
            let fronts = Fronts::of(DcId(dc), &[]).unwrap();
            let expected: Vec<_> = addresses.iter().map(|one| one.parse().unwrap()).collect();
            assert_eq!(fronts.addresses, expected, "{dc}");
            assert_eq!(fronts.hosts[0], format!("{host}.web.telegram.org"));
            assert_ne!(fronts.hosts[0], fronts.hosts[1]);
            assert_eq!(fronts.path, path);
        }
        for nobody in [6, -77, 10_203 + 1, i16::MIN] {
            assert_eq!(Fronts::of(DcId(nobody), &[]), None);
        }
    }

    #[test]
    fn what_is_given_stands_for_what_is_built_in() {
        let given = [(2, 1), (-2, 2), (4, 3), (2, 4), (10_001, 5), (6, 6)];
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let given = given.map(|(dc, port)| (DcId(dc), at(port)));
        for (dc, ports) in [
            (2, &[1, 4][..]),
            (-2, &[2]),
            (-4, &[3]),
            (203, &[1, 4]),
            (10_001, &[5]),
            (-10_001, &[5]),
            (6, &[6]),
        ] {
            let expected: Vec<_> = ports.iter().map(|port| at(*port)).collect();
            let fronts = Fronts::of(DcId(dc), &given).unwrap();
            assert_eq!(fronts.addresses, expected, "{dc}");
        }
        assert_eq!(
            Fronts::of(DcId(1), &given).unwrap().addresses[0].port(),
            443
        );
    }
}
