use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::log::Address;

/// An address prefix, `192.0.2.0/24` or `2001:db8::/48`; a bare address is a
/// prefix of its whole length. IPv4 addresses inside IPv6 count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network {
    first: IpAddr,
    length: u8,
}

/// A text that may be somebody's address or network, as the log may show it.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match text.parse::<Network>() {
        Ok(network) if !Address::are_whole() => {
            Cow::Owned(Address::from(network.first()).to_string())
        }
        _ => Cow::Borrowed(text),
    }
}

impl Network {
    /// The prefix of `length` bits (at most the family's) that `address` is in.
    pub(crate) fn containing(address: IpAddr, length: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self {
                    first: Ipv4Addr::from_bits(address.to_bits() & mask).into(),
                    length,
                }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self {
                    first: Ipv6Addr::from_bits(address.to_bits() & mask).into(),
                    length,
                }
            }
        }
    }

    /// What one subscriber has: an IPv4 address, an IPv6 /64.
    pub(crate) fn of_subscriber(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::containing(address, 32),
            IpAddr::V6(_) => Self::containing(address, 64),
        }
    }

    /// The lowest address.
    pub(crate) fn first(self) -> IpAddr {
        self.first
    }

    pub(crate) fn length(self) -> u8 {
        self.length
    }

    pub(crate) fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_ipv4() && Self::containing(address, self.length) == self
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.is_ipv4() { 32 } else { 128 };
        if self.length == whole {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.length)
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkError(String);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an address or a network: write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48",
            self.0
        )
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| wrong())?,
            None => whole,
        };
        if length > whole {
            return Err(wrong());
        }
        let length = match address {
            // A prefix of ::ffff:0:0/96 is one of IPv4's; a shorter one is both.
            IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some() => {
                u8::checked_sub(length, 96).ok_or_else(wrong)?
            }
            _ => length,
        };
        Ok(Self::containing(address, length))
    }
}

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this machine or a private network: more than one machine of the world
    /// has it.
    Ours,
    /// The internet can route to it.
    Internet,
    /// Neither: it stands in documents, or for many machines. Who listens at all
    /// addresses may listen at those of the internet, too.
    Nowhere,
}

impl Reach {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                let is_shared = a == 100 && (64..128).contains(&b);
                if ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared {
                    return Self::Ours;
                }
                let is_nobodys = ip.is_unspecified()
                    || ip.is_documentation()
                    || ip.is_multicast()
                    || ip.is_broadcast();
                if is_nobodys {
                    Self::Nowhere
                } else {
                    Self::Internet
                }
            }
            IpAddr::V6(ip) => {
                if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() {
                    return Self::Ours;
                }
                match ip.segments() {
                    [0x2000..0x4000, ..] => Self::Internet,
                    _ => Self::Nowhere,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text() {
        let parse = |text: &str| text.parse::<Network>().map(|network| network.to_string());
        assert_eq!(parse("192.0.2.77/24").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(parse("192.0.2.77").as_deref(), Ok("192.0.2.77"));
        assert_eq!(
            parse("2001:db8:1:2::3/48").as_deref(),
            Ok("2001:db8:1::/48")
        );
        assert_eq!(parse("::/0").as_deref(), Ok("::/0"));
        assert_eq!(parse("::ffff:10.1.2.3/104").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(parse("::ffff:10.1.2.3").as_deref(), Ok("10.1.2.3"));
        for wrong in [
            "",
            "a",
            "::ffff:1.2.3.4/64",
            "1.2.3.4/33",
            "::1/129",
            "1.2.3.4/",
            "1.2.3/8",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn subscribers_are_told_apart() {
        let of = |text: &str| Network::of_subscriber(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:2::"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn what_the_internet_may_reach() {
        for (ip, public) in [
            ("127.0.0.1", false),
            ("10.8.0.1", false),
            ("192.168.1.2", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("169.254.1.1", false),
            ("0.0.0.0", true),
            ("198.51.100.1", true),
            ("::1", false),
            ("::", true),
            ("fd00::1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
            ("::ffff:10.8.0.1", false),
            ("::ffff:198.51.100.1", true),
        ] {
            let reach = Reach::of(ip.parse().unwrap());
            assert_eq!(reach != Reach::Ours, public, "{ip}");
        }
    }

    #[test]
    fn global_addresses() {
        for (ip, reach) in [
            ("8.8.8.8", Reach::Internet),
            ("192.168.1.1", Reach::Ours),
            ("100.64.0.1", Reach::Ours),
            ("100.128.0.1", Reach::Internet),
            ("169.254.1.1", Reach::Ours),
            ("2a00::1", Reach::Internet),
            ("fe80::1", Reach::Ours),
            ("fd00::1", Reach::Ours),
            ("::ffff:8.8.8.8", Reach::Internet),
            ("0.0.0.0", Reach::Nowhere),
            ("192.0.2.1", Reach::Nowhere),
            ("224.0.0.1", Reach::Nowhere),
            ("255.255.255.255", Reach::Nowhere),
            ("::", Reach::Nowhere),
            ("ff02::1", Reach::Nowhere),
            ("1fff::1", Reach::Nowhere),
            ("3fff::1", Reach::Internet),
            ("4000::1", Reach::Nowhere),
        ] {
            assert_eq!(Reach::of(ip.parse().unwrap()), reach, "{ip}");
        }
    }

    proptest! {
        #[test]
        fn an_address_inside_ipv6_reaches_as_far(ip: u32) {
            let ip = Ipv4Addr::from_bits(ip);
            prop_assert_eq!(Reach::of(ip.to_ipv6_mapped().into()), Reach::of(ip.into()));
        }

        #[test]
        fn contains_what_shares_the_prefix(a in any::<u32>(), b in any::<u32>(), length in 0u8..=32) {
            let network = Network::containing(Ipv4Addr::from_bits(a).into(), length);
            let same = (a ^ b).leading_zeros() >= u32::from(length);
            prop_assert_eq!(network.contains(Ipv4Addr::from_bits(b).into()), same);
            prop_assert_eq!(network.contains(Ipv4Addr::from_bits(b).to_ipv6_mapped().into()), same);
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        }

        #[test]
        fn wide_addresses(a in any::<u128>(), b in any::<u128>(), length in 0u8..=128) {
            let network = Network::containing(Ipv6Addr::from_bits(a).into(), length);
            let other = IpAddr::from(Ipv6Addr::from_bits(b));
            prop_assume!(other.to_canonical() == other && network.first.to_canonical() == network.first);
            prop_assert_eq!(network.contains(other), (a ^ b).leading_zeros() >= u32::from(length));
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        }
    }
}
