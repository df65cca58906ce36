use std::fmt;

use smol_mtproxy_ciphers::{constant_time_eq, hmac_sha256};

use crate::fake_tls::{CHANGE_CIPHER_SPEC, MAX_RECORD_IN};
use crate::secret::{Domain, Secret};
use crate::site_hello::browser_hello;

/// The longest payload of a record to the proxy, in bytes, as TDLib's are. The first one
/// comes behind [`CHANGE_CIPHER_SPEC`] and begins with the obfuscated2 header.
pub const RECORD_TO_PROXY: usize = 2878;

const RANDOM_LEN: usize = 32;
/// Where the random lies in the record of either hello.
const RANDOM_AT: usize = 11;

const HEADER_LEN: usize = 5;
const ALERT: u8 = 0x15;
/// Behind the record's header and how bad it is.
const ALERT_NUMBER_AT: usize = HEADER_LEN + 1;
/// How an answer begins; then the length of its first record.
const SERVER_HELLO: [u8; 3] = [0x16, 3, 3];
/// Of a record's header, before its length.
const DATA: [u8; 3] = [0x17, 3, 3];

/// Our hello to a proxy with that secret, to be sent as it is, and who judges the answer.
/// `unix_time` is in seconds; proxies take it within some minutes of theirs.
pub fn greet(
    domain: &Domain,
    secret: &Secret,
    unix_time: u32,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> (Vec<u8>, ProxyAnswer) {
    let mut hello = browser_hello(domain, true, fill_random);
    let mut random = hmac_sha256(&secret.0, &without_random(&hello));
    let time = unix_time.to_le_bytes();
    for (byte, time) in random.iter_mut().skip(RANDOM_LEN - time.len()).zip(time) {
        *byte ^= time;
    }
    for (byte, signed) in hello.iter_mut().skip(RANDOM_AT).zip(random) {
        *byte = signed;
    }
    (hello, ProxyAnswer::new(secret, random))
}

/// A hello as it is signed: with zeros for its random.
fn without_random(hello: &[u8]) -> [&[u8]; 3] {
    let head = hello.get(..RANDOM_AT).unwrap_or_default();
    let tail = hello.get(RANDOM_AT + RANDOM_LEN..).unwrap_or_default();
    [head, &[0; RANDOM_LEN], tail]
}

/// Reads what answers our hello, which may come in any pieces, and checks that it is a
/// proxy with the same secret.
#[cfg_attr(test, derive(Clone))]
pub struct ProxyAnswer {
    secret: Secret,
    our_random: [u8; RANDOM_LEN],
    /// At most two records and ChangeCipherSpec: 33 KiB.
    received: Vec<u8>,
}

/// Why it is no proxy with our secret that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingError {
    /// Its number.
    Alert(u8),
    /// Not the three records that a proxy answers with.
    NotAnAnswer,
    /// As it should be, but not signed with the secret: a web site's.
    WrongDigest,
}

impl ProxyAnswer {
    /// Judges what answers a hello that was signed with `random`.
    pub fn new(secret: &Secret, random: [u8; RANDOM_LEN]) -> Self {
        Self {
            secret: *secret,
            our_random: random,
            received: Vec::new(),
        }
    }

    /// Of the hello.
    pub fn our_random(&self) -> &[u8; RANDOM_LEN] {
        &self.our_random
    }

    /// Takes bytes of the answer off the front of `input`. Whether it is complete and
    /// right: what is left in `input` are records of the connection.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<bool, GreetingError> {
        loop {
            let wanted = self.wanted()?;
            if wanted == 0 {
                return self.check().map(|()| true);
            }
            if input.is_empty() {
                return Ok(false);
            }
            let (piece, rest) = input.split_at(wanted.min(input.len()));
            self.received.extend_from_slice(piece);
            *input = rest;
        }
    }

    /// How many bytes are missing that are certain to be of the answer.
    fn wanted(&self) -> Result<usize, GreetingError> {
        let received = self.received.as_slice();
        if received.first() == Some(&ALERT) {
            return match received.get(ALERT_NUMBER_AT) {
                Some(number) => Err(GreetingError::Alert(*number)),
                None => Ok(ALERT_NUMBER_AT + 1 - received.len()),
            };
        }
        let mut rest = received;
        for head in [&[][..], &CHANGE_CIPHER_SPEC] {
            let is_hello = head.is_empty();
            let kind = if is_hello { SERVER_HELLO } else { DATA };
            let expected = head.iter().chain(&kind);
            if rest.iter().zip(expected).any(|(is, should)| is != should) {
                return Err(GreetingError::NotAnAnswer);
            }
            let head_len = head.len() + HEADER_LEN;
            let Some((head, behind)) = rest.split_at_checked(head_len) else {
                return Ok(head_len - rest.len());
            };
            let length = match head.last_chunk() {
                Some(length) => usize::from(u16::from_be_bytes(*length)),
                None => 0,
            };
            // A hello has its random and more; TLS has no record without content.
            let least = if is_hello { RANDOM_AT + RANDOM_LEN } else { 1 };
            if !(least..=MAX_RECORD_IN).contains(&length) {
                return Err(GreetingError::NotAnAnswer);
            }
            rest = match behind.get(length..) {
                Some(rest) => rest,
                None => return Ok(length - behind.len()),
            };
        }
        Ok(0)
    }

    fn check(&mut self) -> Result<(), GreetingError> {
        let received = std::mem::take(&mut self.received);
        let [head, zeros, tail] = without_random(&received);
        let digest = hmac_sha256(&self.secret.0, &[&self.our_random, head, zeros, tail]);
        let random = received.get(RANDOM_AT..RANDOM_AT + RANDOM_LEN);
        match constant_time_eq(random.unwrap_or_default(), &digest) {
            true => Ok(()),
            false => Err(GreetingError::WrongDigest),
        }
    }
}

impl fmt::Display for GreetingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(number) => write!(f, "a TLS alert, number {number}"),
            Self::NotAnAnswer => write!(f, "an answer that no MTProxy gives"),
            Self::WrongDigest => write!(f, "a web site's answer: is the secret right?"),
        }
    }
}

impl std::error::Error for GreetingError {}
