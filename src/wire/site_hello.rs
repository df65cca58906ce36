//! The ClientHello by which a site is asked how it answers browsers: what
//! Chrome sends today, every extension that changes an answer's size included
//! (RFC 8446; RFC 8701 GREASE; RFC 8879; draft-ietf-tls-ecdhe-mlkem).

use super::bytes::with_length;
use super::key_share::{write_mlkem768_key, x25519_share};
use super::secret::Domain;
use super::server_hello::{GROUP_X25519, GROUP_X25519_MLKEM768};

/// TLS 1.3 suites and those of TLS 1.2 that browsers still offer.
const CIPHER_SUITES: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
    0x009d, 0x002f, 0x0035,
];
const SIGNATURE_ALGORITHMS: [u16; 8] = [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
];

/// The record with a hello for `domain`; without X25519MLKEM768 it is one of a browser
/// before 2024.
pub fn browser_hello(
    domain: &Domain,
    with_mlkem: bool,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> Vec<u8> {
    let mut random = [[0; 32]; 2];
    random.iter_mut().for_each(|part| fill_random(part));
    let [random, session_id] = random;
    let grease = Grease::choose(fill_random);
    let extensions = extensions(domain, with_mlkem, &grease, fill_random);
    let mut out = vec![0x16, 0x03, 0x01];
    with_length(&mut out, 2, |out| {
        out.push(0x01);
        with_length(out, 3, |out| {
            out.extend_from_slice(&[0x03, 0x03]);
            out.extend_from_slice(&random);
            with_length(out, 1, |out| out.extend_from_slice(&session_id));
            with_length(out, 2, |out| {
                put(out, &[grease.suite]);
                put(out, &CIPHER_SUITES);
            });
            out.extend_from_slice(&[1, 0]);
            with_length(out, 2, |out| {
                for (kind, content) in &extensions {
                    put(out, &[*kind]);
                    with_length(out, 2, |out| out.extend_from_slice(content));
                }
            });
        });
    });
    out
}

/// Values that servers have to ignore; `0x?a?a` all of them.
struct Grease {
    suite: u16,
    group: u16,
    version: u16,
    first: u16,
    last: u16,
}

impl Grease {
    fn choose(fill_random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut random = [0; 5];
        fill_random(&mut random);
        let [suite, group, version, first, last] =
            random.map(|byte| u16::from_be_bytes([byte & 0xf0 | 0x0a; 2]));
        // No extension may come twice.
        let last = if last == first { first ^ 0x1010 } else { last };
        Self {
            suite,
            group,
            version,
            first,
            last,
        }
    }
}

type Extension = (u16, Vec<u8>);

/// In an order of their own each time, as browsers send them, between the two
/// of GREASE.
fn extensions(
    domain: &Domain,
    with_mlkem: bool,
    grease: &Grease,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> Vec<Extension> {
    let mut all = negotiable(domain, with_mlkem, grease);
    all.push((0x0033, key_shares(with_mlkem, grease, fill_random)));
    all.push((0xfe0d, encrypted_hello(fill_random)));
    for at in (1..all.len()).rev() {
        let mut random = [0; 4];
        fill_random(&mut random);
        all.swap(at, u32::from_le_bytes(random) as usize % (at + 1));
    }
    all.insert(0, (grease.first, Vec::new()));
    all.push((grease.last, vec![0]));
    all
}

/// Those that are always the same.
fn negotiable(domain: &Domain, with_mlkem: bool, grease: &Grease) -> Vec<Extension> {
    let name = written(|out| {
        with_length(out, 2, |out| {
            out.push(0);
            with_length(out, 2, |out| {
                out.extend_from_slice(domain.as_str().as_bytes())
            });
        });
    });
    let mut groups = vec![grease.group, GROUP_X25519, 0x17, 0x18];
    if with_mlkem {
        groups.insert(1, GROUP_X25519_MLKEM768);
    }
    let versions = [grease.version, 0x0304, 0x0303];
    let list =
        |values: &[u16], width| written(|out| with_length(out, width, |out| put(out, values)));
    vec![
        (0x0000, name),
        (0x0005, vec![1, 0, 0, 0, 0]),
        (0x000a, list(&groups, 2)),
        (0x000b, vec![1, 0]),
        (0x000d, list(&SIGNATURE_ALGORITHMS, 2)),
        (0x0010, b"\x00\x0c\x02h2\x08http/1.1".to_vec()),
        (0x0012, Vec::new()),
        (0x0017, Vec::new()),
        (0x001b, vec![2, 0, 2]),
        (0x0023, Vec::new()),
        (0x002b, list(&versions, 1)),
        (0x002d, vec![1, 1]),
        (0x44cd, b"\x00\x03\x02h2".to_vec()),
        (0xff01, vec![0]),
    ]
}

fn key_shares(
    with_mlkem: bool,
    grease: &Grease,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> Vec<u8> {
    written(|out| {
        with_length(out, 2, |out| {
            put(out, &[grease.group, 1]);
            out.push(0);
            if with_mlkem {
                put(out, &[GROUP_X25519_MLKEM768]);
                with_length(out, 2, |out| {
                    write_mlkem768_key(out, fill_random);
                    out.extend_from_slice(&x25519_share(fill_random));
                });
            }
            put(out, &[GROUP_X25519]);
            with_length(out, 2, |out| {
                out.extend_from_slice(&x25519_share(fill_random));
            });
        });
    })
}

/// An encrypted hello of nothing (GREASE ECH): HKDF-SHA256, AES-128-GCM.
fn encrypted_hello(fill_random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut random = [0; 2];
    fill_random(&mut random);
    let [config, length] = random;
    let mut sealed = vec![0; 144 + 32 * usize::from(length & 3)];
    fill_random(&mut sealed);
    written(|out| {
        out.extend_from_slice(&[0, 0, 1, 0, 1, config]);
        with_length(out, 2, |out| {
            out.extend_from_slice(&x25519_share(fill_random));
        });
        with_length(out, 2, |out| out.extend_from_slice(&sealed));
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn put(out: &mut Vec<u8>, values: &[u16]) {
    for value in values {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_hello::{self, Parsed};
    use crate::server_hello::tests::counting;

    #[test]
    fn it_is_a_hello_that_we_would_take_ourselves() {
        let domain: Domain = "www.example.com".parse().unwrap();
        let mut random = counting();
        for at in 0..50 {
            let with_mlkem = at % 2 == 0;
            let bytes = browser_hello(&domain, with_mlkem, &mut random);
            let sane = if with_mlkem { 1700..2000 } else { 480..780 };
            assert!(sane.contains(&bytes.len()), "{}", bytes.len());
            let Ok(Parsed::Complete { value, consumed }) = client_hello::parse(&bytes) else {
                panic!("it cannot be read");
            };
            assert_eq!(consumed, bytes.len());
            assert_eq!(value.sni, Some(domain.clone()));
            assert_eq!(value.cipher_suites, [0x1301, 0x1302, 0x1303]);
            assert!(value.tls13 && value.x25519.is_some());
            assert_eq!(value.x25519_mlkem768.is_some(), with_mlkem);
            let groups = negotiable(&domain, with_mlkem, &Grease::choose(&mut random)).remove(2);
            assert_eq!(
                (groups.0, groups.1.len()),
                (0x0a, if with_mlkem { 12 } else { 10 })
            );
            assert_eq!(
                groups.1.windows(2).any(|group| *group == [0x11, 0xec]),
                with_mlkem
            );
            assert_eq!(value.session_id.len(), 32);
        }
    }

    #[test]
    fn no_two_are_alike() {
        let domain: Domain = "www.example.com".parse().unwrap();
        let mut random = counting();
        let orders: std::collections::BTreeSet<Vec<u16>> = (0..20)
            .map(|_| {
                let grease = Grease::choose(&mut random);
                assert_ne!(grease.first, grease.last);
                let extensions = extensions(&domain, true, &grease, &mut random);
                extensions.iter().map(|(kind, _)| *kind).collect()
            })
            .collect();
        assert_eq!(orders.len(), 20);
    }
}
