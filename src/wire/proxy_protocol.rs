//! The PROXY protocol of HAProxy, versions 1 and 2: one header before the
//! stream's own bytes, by which a relay in front tells the client's address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::bytes::as_ipv6;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_START: &[u8] = b"PROXY ";

/// Longest version 1 line with its CRLF.
const MAX_V1: usize = 107;

/// Shortest version 1 line: `PROXY UNKNOWN`.
const V1_LEAST: usize = 15;

/// Longest version 2 header taken: addresses and a few hundred bytes of TLVs.
const MAX_V2: usize = 16 + 1024;

/// Bytes that always suffice to see a header's end or that it is none.
pub const MAX_HEADER: usize = MAX_V2;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Bytes of the header itself.
    pub consumed: usize,
    /// `None`: the relay speaks for itself (a health check) or does not know.
    pub addresses: Option<ProxyAddresses>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderError {
    Missing,
    Malformed,
    TooLong,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "no PROXY header came: switch it on in the relay (send-proxy-v2) or take --proxy-protocol away"
            }
            Self::Malformed => "a malformed PROXY header came",
            Self::TooLong => "an overlong PROXY header came",
        })
    }
}

impl std::error::Error for ProxyHeaderError {}

/// Reads a header from the start of a stream; `None`: more bytes are needed.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let starts = |start: &[u8]| {
        let shared = start.len().min(bytes.len());
        bytes.get(..shared) == start.get(..shared)
    };
    if starts(V2_SIGNATURE) {
        parse_v2(bytes)
    } else if starts(V1_START) {
        parse_v1(bytes)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// How much to read behind `bytes`, an incomplete header, so that nothing of
/// the stream itself comes along; at least 1.
pub fn wanted(bytes: &[u8]) -> usize {
    if let Some((&[.., high, low], rest)) = bytes.split_first_chunk::<16>()
        && bytes.starts_with(V2_SIGNATURE)
    {
        let length = usize::from(u16::from_be_bytes([high, low]));
        return length.saturating_sub(rest.len()).max(1);
    }
    // Until then it may be either; version 1 ends with CR LF.
    match (V1_LEAST.checked_sub(bytes.len()), bytes.last()) {
        (Some(missing @ 1..), _) => missing,
        (_, Some(b'\r')) => 1,
        _ if bytes.starts_with(V1_START) => 2,
        _ => 1,
    }
}

/// A version 2 header for a stream that we pass on: 28 bytes for IPv4, 52 for
/// IPv6 (also when only one of the two is).
pub fn encode_v2(addresses: ProxyAddresses) -> heapless::Vec<u8, 52> {
    let mut header = heapless::Vec::new();
    let mut put = |bytes: &[u8]| {
        // 16 bytes and the 36 of two IPv6 addresses are the capacity.
        let _ = header.extend_from_slice(bytes);
    };
    let ProxyAddresses { client, local } = addresses;
    put(V2_SIGNATURE);
    match (client.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(client), IpAddr::V4(local)) => {
            put(&[0x21, 0x11, 0, 12]);
            put(&client.octets());
            put(&local.octets());
        }
        (client, local) => {
            put(&[0x21, 0x21, 0, 36]);
            put(&as_ipv6(client).octets());
            put(&as_ipv6(local).octets());
        }
    }
    put(&client.port().to_be_bytes());
    put(&local.port().to_be_bytes());
    header
}

/// A version 2 header for a stream of our own: the peer takes the addresses of
/// the connection itself.
pub const LOCAL_V2: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Signature, version and command, family and transport, u16 BE length of the
/// rest: addresses, then TLVs, which are passed over.
fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let consumed = head.len() + length;
    if consumed > MAX_V2 {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let addresses = match (command, family) {
        (0x20, _) => None,
        (0x21, 0x11) => Some(read_ipv4(body).ok_or(ProxyHeaderError::Malformed)?),
        (0x21, 0x21) => Some(read_ipv6(body).ok_or(ProxyHeaderError::Malformed)?),
        // Unspecified and Unix addresses.
        (0x21, 0x00 | 0x31 | 0x32) => None,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    Ok(Some(ProxyHeader {
        consumed,
        addresses,
    }))
}

fn read_ipv4(body: &[u8]) -> Option<ProxyAddresses> {
    let (client, rest) = body.split_first_chunk::<4>()?;
    let (local, rest) = rest.split_first_chunk::<4>()?;
    read_ports(
        Ipv4Addr::from(*client).into(),
        Ipv4Addr::from(*local).into(),
        rest,
    )
}

fn read_ipv6(body: &[u8]) -> Option<ProxyAddresses> {
    let (client, rest) = body.split_first_chunk::<16>()?;
    let (local, rest) = rest.split_first_chunk::<16>()?;
    read_ports(
        IpAddr::from(*client).to_canonical(),
        IpAddr::from(*local).to_canonical(),
        rest,
    )
}

fn read_ports(client: IpAddr, local: IpAddr, ports: &[u8]) -> Option<ProxyAddresses> {
    let (client_port, rest) = ports.split_first_chunk()?;
    let (local_port, _) = rest.split_first_chunk()?;
    Some(ProxyAddresses {
        client: SocketAddr::new(client, u16::from_be_bytes(*client_port)),
        local: SocketAddr::new(local, u16::from_be_bytes(*local_port)),
    })
}

/// `PROXY TCP4 CLIENT LOCAL CLIENT-PORT LOCAL-PORT\r\n`, or `PROXY UNKNOWN …`.
fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let seen = bytes.get(..bytes.len().min(MAX_V1)).unwrap_or_default();
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match seen.len() < MAX_V1 {
            true => Ok(None),
            false => Err(ProxyHeaderError::TooLong),
        };
    };
    let line = seen.get(..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Malformed)?;
    Ok(Some(ProxyHeader {
        consumed: end + 2,
        addresses: read_v1(line).ok_or(ProxyHeaderError::Malformed)?,
    }))
}

fn read_v1(line: &str) -> Option<Option<ProxyAddresses>> {
    let mut words = line.split(' ');
    words.next()?;
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let client: IpAddr = words.next()?.parse().ok()?;
    let local: IpAddr = words.next()?.parse().ok()?;
    let fits = match family {
        "TCP4" => client.is_ipv4() && local.is_ipv4(),
        "TCP6" => client.is_ipv6() && local.is_ipv6(),
        _ => false,
    };
    let client_port = words.next()?.parse().ok()?;
    let local_port = words.next()?.parse().ok()?;
    (fits && words.next().is_none()).then_some(Some(ProxyAddresses {
        client: SocketAddr::new(client.to_canonical(), client_port),
        local: SocketAddr::new(local.to_canonical(), local_port),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(client: &str, local: &str) -> Option<ProxyAddresses> {
        Some(ProxyAddresses {
            client: client.parse().unwrap(),
            local: local.parse().unwrap(),
        })
    }

    #[test]
    fn version_1() {
        let parsed = |line: &[u8]| parse(line).unwrap().unwrap();
        let header = parsed(b"PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n\x16\x03");
        assert_eq!(header.consumed, 44);
        assert_eq!(
            header.addresses,
            known("192.0.2.1:56324", "203.0.113.7:443")
        );
        let header = parsed(b"PROXY TCP6 2001:db8::1 ::ffff:203.0.113.7 1 65535\r\n");
        assert_eq!(
            header.addresses,
            known("[2001:db8::1]:1", "203.0.113.7:65535")
        );
        assert_eq!(parsed(b"PROXY UNKNOWN\r\n").addresses, None);
        assert_eq!(
            parsed(b"PROXY UNKNOWN ffff::1 what ever\r\n").addresses,
            None
        );
        for wrong in [
            &b"PROXY TCP4 192.0.2.1 ::1 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY \xff\r\n",
            b"PROXY \r\n",
        ] {
            assert_eq!(parse(wrong), Err(ProxyHeaderError::Malformed));
        }
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat();
        assert_eq!(parse(&long), Err(ProxyHeaderError::TooLong));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(ProxyHeaderError::Missing));
        assert_eq!(parse(b"\x16\x03\x01"), Err(ProxyHeaderError::Missing));
    }

    #[test]
    fn version_2_known_bytes() {
        let mut header = V2_SIGNATURE.to_vec();
        header.extend([
            0x21, 0x11, 0, 15, 192, 0, 2, 1, 203, 0, 113, 7, 0xdc, 4, 1, 0xbb,
        ]);
        // A TLV of no length.
        header.extend([4, 0, 0]);
        let parsed = parse(&header).unwrap().unwrap();
        assert_eq!(parsed.consumed, 31);
        assert_eq!(
            parsed.addresses,
            known("192.0.2.1:56324", "203.0.113.7:443")
        );

        assert_eq!(parse(&LOCAL_V2).unwrap().unwrap().addresses, None);

        for (command, family, high, low, error) in [
            (0x11, 0x11, 0, 0, ProxyHeaderError::Malformed),
            (0x21, 0x11, 0, 0, ProxyHeaderError::Malformed),
            (0x21, 0x12, 0, 0, ProxyHeaderError::Malformed),
            (0x21, 0x11, 0xff, 0, ProxyHeaderError::TooLong),
        ] {
            let bytes = [&V2_SIGNATURE[..], &[command, family, high, low]].concat();
            assert_eq!(parse(&bytes), Err(error));
        }
    }

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(client in any_address(), local in any_address(), rest: Vec<u8>) {
            let addresses = ProxyAddresses { client, local };
            let mut bytes = encode_v2(addresses).to_vec();
            let length = bytes.len();
            for end in 0..length {
                prop_assert_eq!(parse(&bytes[..end]), Ok(None));
            }
            bytes.extend(rest);
            prop_assert_eq!(
                parse(&bytes),
                Ok(Some(ProxyHeader { consumed: length, addresses: Some(addresses) }))
            );
        }

        /// Reading what is wanted ends exactly behind the header.
        #[test]
        fn nothing_behind_the_header_is_wanted(
            client in any_address(),
            local in any_address(),
            tlvs in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1usize..9,
        ) {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let local = SocketAddr::new(client.ip(), local.port());
            let (from, to) = (client.ip(), local.ip());
            let (from_port, to_port) = (client.port(), local.port());
            let line = format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n");
            let mut v2 = encode_v2(ProxyAddresses { client, local }).to_vec();
            v2.extend_from_slice(&tlvs);
            let length = (v2.len() - 16) as u16;
            v2[14..16].copy_from_slice(&length.to_be_bytes());
            for header in [line.as_bytes(), &v2, b"PROXY UNKNOWN\r\n"] {
                let mut read = 0;
                while parse(&header[..read]).unwrap().is_none() {
                    let wanted = wanted(&header[..read]);
                    prop_assert!(wanted >= 1 && read + wanted <= header.len());
                    // A read may bring less.
                    read += wanted.min(cut);
                }
                prop_assert_eq!(read, header.len());
            }
        }

        #[test]
        fn version_1_in_any_piece(client in any_address(), local in any_address()) {
            let family = match (client.is_ipv4(), local.is_ipv4()) {
                (true, true) => "TCP4",
                (false, false) => "TCP6",
                _ => return Ok(()),
            };
            let line = format!(
                "PROXY {family} {} {} {} {}\r\n",
                client.ip(), local.ip(), client.port(), local.port()
            );
            for end in 0..line.len() {
                prop_assert_eq!(parse(&line.as_bytes()[..end]), Ok(None));
            }
            let header = parse(line.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(header.addresses, Some(ProxyAddresses { client, local }));
            prop_assert_eq!(header.consumed, line.len());
        }

        /// Never a panic, never an answer longer than the input, and bytes
        /// enough always decide.
        #[test]
        fn any_bytes(
            start in prop_oneof![Just(&V2_SIGNATURE[..]), Just(V1_START), Just(&b""[..])],
            rest in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let bytes = [start, &rest].concat();
            match parse(&bytes) {
                Ok(Some(header)) => prop_assert!(header.consumed <= bytes.len()),
                Ok(None) => prop_assert!(bytes.len() < MAX_HEADER),
                Err(_) => {}
            }
        }
    }
}
