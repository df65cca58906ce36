use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address prefix, `192.0.2.0/24` or `2001:db8::/48`; a bare address is a
/// prefix of its whole length. IPv4 addresses inside IPv6 count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    length: u8,
}

impl Network {
    /// The prefix of `length` bits (at most the family's) that `address` is in.
    pub fn containing(address: IpAddr, length: u8) -> Self {
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
    pub fn of_subscriber(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::containing(address, 32),
            IpAddr::V6(_) => Self::containing(address, 64),
        }
    }

    /// The lowest address.
    pub fn first(self) -> IpAddr {
        self.first
    }

    pub fn length(self) -> u8 {
        self.length
    }

    pub fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }

    pub fn contains(self, address: IpAddr) -> bool {
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
pub struct NetworkError(String);

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

    proptest! {
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
