//! Our answer to a fake-TLS client (`doc/protocol.md` §6): a ServerHello, a
//! ChangeCipherSpec and one record of random bytes that passes for the
//! encrypted rest of the handshake.

use smol_mtproxy_ciphers::{hmac_sha256, sha256};

use super::bytes::with_length;
use super::client_hello::{ClientHello, MLKEM768_KEY};
use super::fake_tls::{CHANGE_CIPHER_SPEC, MAX_RECORD, record_header};
use super::flight_length::FlightLength;
use super::key_share::{write_mlkem768_ciphertext, x25519_share};
use super::secret::{Domain, Secret};

const RANDOM_AT: usize = 11;

pub(super) const GROUP_X25519: u16 = 0x001d;
pub(super) const GROUP_X25519_MLKEM768: u16 = 0x11ec;

/// How the site that we pass for answers a ClientHello; `L` is what is known of the
/// lengths of its flights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightProfile<L = FlightLengths> {
    /// The TLS 1.3 suite that it takes if offered; else the client's first.
    pub cipher_suite: u16,
    /// It answers a post-quantum key share (X25519MLKEM768) with one.
    pub post_quantum: bool,
    /// It writes supported_versions before key_share.
    pub versions_first: bool,
    /// Encrypted records of its flight. A server that sends a session ticket with it
    /// has more of them than one that waits for the client.
    pub records: u8,
    /// Payload of our one encrypted record, in bytes, so that the flight is as long
    /// as the site's, however many records that has: EncryptedExtensions,
    /// certificate chain, signature and Finished.
    pub lengths: L,
}

/// Servers name the groups that they prefer in EncryptedExtensions, if the client
/// did not offer the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightLengths {
    pub usual: FlightLength,
    /// To a hello without X25519MLKEM768, where that is known to be another.
    pub without_mlkem: Option<FlightLength>,
}

impl<L> FlightProfile<L> {
    pub fn with_lengths<M>(&self, lengths: M) -> FlightProfile<M> {
        FlightProfile {
            cipher_suite: self.cipher_suite,
            post_quantum: self.post_quantum,
            versions_first: self.versions_first,
            records: self.records,
            lengths,
        }
    }
}

impl FlightProfile {
    /// A profile for a site that nobody measured: plausible, the same at every
    /// start, and different from one proxy to the next.
    pub fn unmeasured(domain: &Domain, secret: &Secret) -> Self {
        let seed = sha256(&[b"flight profile", &secret.0, domain.as_str().as_bytes()]);
        let [len_low, len_high, choices, ..] = seed;
        let longest = 2500 + u16::from_le_bytes([len_low, len_high]) % 1500;
        Self {
            cipher_suite: if choices & 0b11 == 0 { 0x1302 } else { 0x1301 },
            post_quantum: true,
            versions_first: choices & 0b100 != 0,
            records: 4,
            lengths: FlightLengths {
                usual: FlightLength::Ecdsa { longest },
                without_mlkem: None,
            },
        }
    }
}

/// One length that was seen.
impl From<u16> for FlightLengths {
    fn from(length: u16) -> Self {
        Self {
            usual: length.into(),
            without_mlkem: None,
        }
    }
}

impl FlightLengths {
    fn of_answer_to(&self, hello: &ClientHello) -> &FlightLength {
        match &self.without_mlkem {
            Some(length) if hello.x25519_mlkem768.is_none() => length,
            _ => &self.usual,
        }
    }
}

/// The whole answer.
pub fn answer(
    hello: &ClientHello,
    secret: &Secret,
    profile: &FlightProfile,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> Vec<u8> {
    let encrypted = profile.lengths.of_answer_to(hello).draw(fill_random);
    let encrypted = encrypted.min(MAX_RECORD);
    let mut out = Vec::with_capacity(encrypted + 1400);
    write_server_hello(&mut out, hello, profile, fill_random);
    out.extend_from_slice(&CHANGE_CIPHER_SPEC);
    write_encrypted(&mut out, encrypted, fill_random);
    let digest = hmac_sha256(&secret.0, &[&hello.random, &out]);
    for (byte, signed) in out.iter_mut().skip(RANDOM_AT).zip(digest) {
        *byte = signed;
    }
    out
}

/// One record, its random left zero.
fn write_server_hello(
    out: &mut Vec<u8>,
    hello: &ClientHello,
    profile: &FlightProfile,
    fill_random: &mut dyn FnMut(&mut [u8]),
) {
    out.extend_from_slice(&[0x16, 0x03, 0x03]);
    with_length(out, 2, |out| {
        out.push(0x02);
        with_length(out, 3, |out| {
            out.extend_from_slice(&[0x03, 0x03]);
            out.extend_from_slice(&[0; 32]);
            with_length(out, 1, |out| out.extend_from_slice(&hello.session_id));
            out.extend_from_slice(&cipher_suite(hello, profile).to_be_bytes());
            out.push(0);
            with_length(out, 2, |out| {
                if profile.versions_first {
                    write_supported_versions(out);
                }
                let key = hello.x25519_mlkem768.as_deref();
                write_key_share(out, key.filter(|_| profile.post_quantum), fill_random);
                if !profile.versions_first {
                    write_supported_versions(out);
                }
            });
        });
    });
}

fn cipher_suite(hello: &ClientHello, profile: &FlightProfile) -> u16 {
    let offered = &hello.cipher_suites;
    match offered.first() {
        Some(&first) if !offered.contains(&profile.cipher_suite) => first,
        _ => profile.cipher_suite,
    }
}

fn write_supported_versions(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x00, 0x2b, 0x00, 0x02, 0x03, 0x04]);
}

/// `key` is the client's, where the answer is post-quantum.
fn write_key_share(
    out: &mut Vec<u8>,
    key: Option<&[u8; MLKEM768_KEY]>,
    fill_random: &mut dyn FnMut(&mut [u8]),
) {
    out.extend_from_slice(&[0x00, 0x33]);
    with_length(out, 2, |out| {
        let group = match key {
            Some(_) => GROUP_X25519_MLKEM768,
            None => GROUP_X25519,
        };
        out.extend_from_slice(&group.to_be_bytes());
        with_length(out, 2, |out| {
            if let Some(key) = key {
                write_mlkem768_ciphertext(out, key, fill_random);
            }
            out.extend_from_slice(&x25519_share(fill_random));
        });
    });
}

fn write_encrypted(out: &mut Vec<u8>, len: usize, fill_random: &mut dyn FnMut(&mut [u8])) {
    out.extend_from_slice(&record_header(len));
    let start = out.len();
    out.resize(start + len, 0);
    fill_random(out.get_mut(start..).unwrap_or_default());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bytes::Reader;

    const SECRET: Secret = Secret([0x5a; 16]);

    pub(crate) fn counting() -> impl FnMut(&mut [u8]) {
        let mut state = 1u64;
        move |out| {
            for byte in out {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
        }
    }

    fn hello() -> ClientHello {
        ClientHello {
            random: [3; 32],
            session_id: heapless::Vec::from([4; 32]),
            cipher_suites: [0x1303, 0x1301].into(),
            sni: None,
            x25519: Some([5; 32]),
            x25519_mlkem768: Some(Box::new([6; MLKEM768_KEY])),
            tls13: true,
        }
    }

    fn profile() -> FlightProfile {
        FlightProfile {
            cipher_suite: 0x1301,
            post_quantum: true,
            versions_first: true,
            records: 4,
            lengths: FlightLengths {
                usual: FlightLength::Ecdsa { longest: 3002 },
                without_mlkem: Some(2700.into()),
            },
        }
    }

    /// Payloads of the three records.
    fn records(answer: &[u8]) -> [&[u8]; 3] {
        let mut reader = Reader(answer);
        let records = [0x16, 0x14, 0x17].map(|kind| {
            assert_eq!(reader.array(), Some([kind, 3, 3]));
            reader.vec16().unwrap()
        });
        assert!(reader.is_empty());
        records
    }

    /// Suite, group and share of a ServerHello; checks everything else in it.
    fn read_server_hello(payload: &[u8], versions_first: bool) -> (u16, u16, Vec<u8>) {
        let mut message = Reader(payload);
        assert_eq!(message.array(), Some([2, 0]));
        let mut body = Reader(message.vec16().unwrap());
        assert!(message.is_empty());
        assert_eq!(body.array(), Some([3, 3]));
        assert_ne!(body.array(), Some([0; 32]));
        assert_eq!(body.vec8(), Some(&[4; 32][..]));
        let suite = body.u16_be().unwrap();
        assert_eq!(body.array(), Some([0]));
        let mut extensions = Reader(body.vec16().unwrap());
        assert!(body.is_empty());
        let mut found = [(); 2].map(|()| {
            let kind = extensions.u16_be().unwrap();
            (kind, extensions.vec16().unwrap())
        });
        assert!(extensions.is_empty());
        if !versions_first {
            found.reverse();
        }
        assert_eq!(found[0], (0x2b, &[3, 4][..]));
        assert_eq!(found[1].0, 0x33);
        let mut share = Reader(found[1].1);
        let group = share.u16_be().unwrap();
        let key = share.vec16().unwrap();
        assert!(share.is_empty());
        (suite, group, key.to_vec())
    }

    #[test]
    fn the_client_finds_its_signature() {
        let answer = answer(&hello(), &SECRET, &profile(), &mut counting());
        let mut unsigned = answer.clone();
        unsigned[11..43].fill(0);
        let digest = hmac_sha256(&SECRET.0, &[&hello().random, &unsigned]);
        assert_eq!(answer[11..43], digest);
    }

    #[test]
    fn the_answer_is_what_a_server_would_choose() {
        for post_quantum in [true, false] {
            for versions_first in [true, false] {
                let profile = FlightProfile {
                    post_quantum,
                    versions_first,
                    ..profile()
                };
                let answer = answer(&hello(), &SECRET, &profile, &mut counting());
                let [server_hello, change, encrypted] = records(&answer);
                assert_eq!(change, [1]);
                assert!((3000..=3002).contains(&encrypted.len()));
                let (suite, group, share) = read_server_hello(server_hello, versions_first);
                assert_eq!(suite, 0x1301);
                let (expected, len) = if post_quantum {
                    (0x11ec, 1120)
                } else {
                    (0x1d, 32)
                };
                assert_eq!((group, share.len()), (expected, len));
            }
        }
    }

    #[test]
    fn nothing_is_chosen_that_the_client_did_not_offer() {
        let hello = ClientHello {
            cipher_suites: [0x1303].into(),
            x25519_mlkem768: None,
            ..hello()
        };
        let answer = answer(&hello, &SECRET, &profile(), &mut counting());
        let (suite, group, _) = read_server_hello(records(&answer)[0], true);
        assert_eq!((suite, group), (0x1303, 0x1d));
        assert_eq!(records(&answer)[2].len(), 2700);
    }

    #[test]
    fn no_byte_is_the_same_in_every_answer() {
        let mut random = counting();
        let profile = profile().with_lengths(3000.into());
        let answers: Vec<_> = (0..20)
            .map(|_| answer(&hello(), &SECRET, &profile, &mut random))
            .collect();
        let encrypted = records(&answers[0])[2].len();
        let first_encrypted = answers[0].len() - encrypted;
        for at in (11..43).chain(first_encrypted..answers[0].len()) {
            let constant = answers.iter().all(|answer| answer[at] == answers[0][at]);
            assert!(!constant, "byte {at}");
        }
    }

    #[test]
    fn unmeasured_profiles_differ_between_proxies_but_not_between_starts() {
        let domain: Domain = "example.com".parse().unwrap();
        let of = |key: u8| FlightProfile::unmeasured(&domain, &Secret([key; 16]));
        assert_eq!(of(1), of(1));
        let lengths: std::collections::BTreeSet<_> =
            (0..50).map(|key| of(key).lengths.usual.range()).collect();
        assert!(lengths.len() > 40);
        let expected = |(_, longest): &(u16, u16)| (2500..4000).contains(longest);
        assert!(lengths.iter().all(expected));
    }
}
