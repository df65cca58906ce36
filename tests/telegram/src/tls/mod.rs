//! Fake-TLS as a client does it (`doc/protocol.md` §6): a hello like today's
//! browsers', and a check of every byte of the answer that has a meaning.

mod message;

use num_bigint::BigUint;

use crate::crypto::{hmac_sha256, random, unix_time};

pub const HANDSHAKE: u8 = 0x16;
pub const CHANGE_CIPHER_SPEC: u8 = 0x14;
pub const APPLICATION_DATA: u8 = 0x17;
pub const MAX_RECORD: usize = 16384;
/// A content type and a tag, which TLS 1.3 adds to what is in a record.
pub const SEAL: usize = 17;
/// The longest that servers send.
pub const FULL_RECORD: usize = MAX_RECORD + SEAL;

/// `14 0303 0001 01`
pub const CHANGE_CIPHER_SPEC_RECORD: [u8; 6] = [CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1];

const X25519: u16 = 0x001d;
const X25519_MLKEM768: u16 = 0x11ec;
const OFFERED_SUITES: [u16; 3] = [0x1301, 0x1302, 0x1303];

/// What the four bytes of time in the hello say.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The present, this many seconds off.
    Skewed(i64),
    /// This value, as of a client that sends its uptime.
    Fixed(u32),
}

#[derive(Clone, Debug)]
pub struct HelloOptions {
    /// `None`: no server name at all.
    pub domain: Option<String>,
    pub clock: Clock,
    /// TLS records over which the handshake message is spread.
    pub records: usize,
    /// Bytes of the hello per write; `None`: all in one.
    pub segment: Option<usize>,
    /// Offer the post-quantum key share, as today's clients do (+1.2 KiB).
    pub post_quantum: bool,
}

impl HelloOptions {
    pub fn for_domain(domain: &str) -> Self {
        Self {
            domain: Some(domain.to_owned()),
            clock: Clock::Skewed(0),
            records: 1,
            segment: None,
            post_quantum: true,
        }
    }
}

pub struct Hello {
    /// As sent, over one or several records.
    pub bytes: Vec<u8>,
    pub random: [u8; 32],
    pub session_id: [u8; 32],
}

impl Hello {
    pub fn new(options: &HelloOptions, key: &[u8; 16]) -> Self {
        let session_id = random();
        let mut message = message::client_hello(options, &session_id);
        // The digest is over the message in one record, its random zeroed.
        let mut digest = hmac_sha256(
            key,
            &[&record_header(HANDSHAKE, 1, message.len()), &message],
        );
        let time = match options.clock {
            Clock::Skewed(by) => (i64::from(unix_time()) + by) as u32,
            Clock::Fixed(time) => time,
        };
        for (byte, mask) in digest[28..].iter_mut().zip(time.to_le_bytes()) {
            *byte ^= mask;
        }
        message[6..38].copy_from_slice(&digest);
        let mut bytes = Vec::new();
        for part in message.chunks(message.len().div_ceil(options.records.max(1))) {
            bytes.extend_from_slice(&record_header(HANDSHAKE, 1, part.len()));
            bytes.extend_from_slice(part);
        }
        Self {
            bytes,
            random: digest,
            session_id,
        }
    }

    /// A recorded hello in one record, as if it had been sent now.
    pub fn signed_anew(recorded: &[u8], key: &[u8; 16]) -> Result<Self, String> {
        let mut bytes = recorded.to_vec();
        let session_id = recorded.get(44..76).and_then(|id| id.try_into().ok());
        let session_id = session_id.ok_or("no hello")?;
        bytes[11..43].fill(0);
        let mut random = hmac_sha256(key, &[&bytes]);
        for (byte, mask) in random[28..].iter_mut().zip(unix_time().to_le_bytes()) {
            *byte ^= mask;
        }
        bytes[11..43].copy_from_slice(&random);
        Ok(Self {
            bytes,
            random,
            session_id,
        })
    }

    /// Checks the server's three records, `flight`, to the last byte.
    pub fn verify(&self, flight: &[u8], key: &[u8; 16]) -> Result<(), String> {
        let mut reader = Reader(flight);
        let hello = reader.record(HANDSHAKE)?;
        let change = reader.record(CHANGE_CIPHER_SPEC)?;
        let data = reader.record(APPLICATION_DATA)?;
        if change != [1] {
            return Err(format!("ChangeCipherSpec holds {change:02x?}"));
        }
        if data.is_empty() || data.len() > MAX_RECORD + 256 {
            return Err(format!("an encrypted flight of {} bytes", data.len()));
        }
        if !reader.0.is_empty() {
            return Err(format!("{} bytes after the three records", reader.0.len()));
        }
        self.verify_server_hello(hello)?;
        let mut zeroed = flight.to_vec();
        // Record header 5, handshake header 4, version 2.
        let random = zeroed[11..43].to_vec();
        zeroed[11..43].fill(0);
        if hmac_sha256(key, &[&self.random, &zeroed]) != random.as_slice() {
            return Err("the server random is not the expected digest".to_owned());
        }
        Ok(())
    }

    fn verify_server_hello(&self, message: &[u8]) -> Result<(), String> {
        let mut reader = Reader(message);
        let kind = reader.take(1)?[0];
        let length = reader.take(3)?;
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        if (kind, length) != (2, message.len() - 4) {
            return Err(format!("handshake message {kind} of {length} bytes"));
        }
        if reader.take(2)? != [3, 3] {
            return Err("the legacy version is not 0303".to_owned());
        }
        reader.take(32)?;
        if reader.vector8()? != self.session_id {
            return Err("another session id than ours".to_owned());
        }
        let suite = reader.u16()?;
        if !OFFERED_SUITES.contains(&suite) {
            return Err(format!("cipher suite {suite:04x} was not offered"));
        }
        if reader.take(1)? != [0] {
            return Err("a compression method".to_owned());
        }
        let extensions = reader.vector16()?;
        if !reader.0.is_empty() {
            return Err("bytes after the extensions".to_owned());
        }
        verify_extensions(extensions)
    }
}

fn verify_extensions(extensions: &[u8]) -> Result<(), String> {
    let mut reader = Reader(extensions);
    let (mut share, mut version) = (None, None);
    while !reader.0.is_empty() {
        let kind = reader.u16()?;
        let value = reader.vector16()?;
        let slot = match kind {
            0x0033 => &mut share,
            0x002b => &mut version,
            other => return Err(format!("extension {other:04x} has no place here")),
        };
        if slot.replace(value).is_some() {
            return Err(format!("extension {kind:04x} twice"));
        }
    }
    if version != Some(&[3, 4]) {
        return Err(format!("supported_versions {version:02x?}"));
    }
    let mut share = Reader(share.ok_or("no key share")?);
    let group = share.u16()?;
    let value = share.vector16()?;
    match (group, value.len()) {
        (X25519, 32) | (X25519_MLKEM768, 1120) if share.0.is_empty() => {
            on_curve25519(&value[value.len() - 32..])
        }
        (group, length) => Err(format!("a key share of group {group:04x}, {length} bytes")),
    }
}

/// A public key is the u of a point of v² = u³ + 486662u² + u.
fn on_curve25519(u: &[u8]) -> Result<(), String> {
    let p = (BigUint::from(1u8) << 255) - BigUint::from(19u8);
    let u = BigUint::from_bytes_le(u);
    if u >= p || u < BigUint::from(2u8) {
        return Err("the key share is no field element".to_owned());
    }
    let square = &u * &u * &u + BigUint::from(486_662u32) * &u * &u + &u;
    let exponent = (&p - BigUint::from(1u8)) >> 1;
    if square.modpow(&exponent, &p) != BigUint::from(1u8) {
        return Err("the key share is no point of the curve".to_owned());
    }
    Ok(())
}

/// The type and the body of the record at the front of `input`, and its whole
/// length; `None` when more bytes are needed.
pub fn split_record(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head = input.first_chunk::<5>()?;
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    let body = input.get(5..5 + length)?;
    Some((head[0], body, 5 + length))
}

pub fn record_header(kind: u8, minor: u8, length: usize) -> [u8; 5] {
    let [high, low] = (length as u16).to_be_bytes();
    [kind, 3, minor, high, low]
}

/// Length of the server's three records at the front of `input`, once whole.
pub fn flight_len(input: &[u8]) -> Option<usize> {
    let mut end = 0;
    for _ in 0..3 {
        end += split_record(input.get(end..)?)?.2;
    }
    Some(end)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| format!("{len} bytes wanted, {} left", self.0.len()))?;
        self.0 = rest;
        Ok(head)
    }

    fn u16(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Result<&'a [u8], String> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn vector16(&mut self) -> Result<&'a [u8], String> {
        let length = self.u16()?;
        self.take(length.into())
    }

    fn record(&mut self, kind: u8) -> Result<&'a [u8], String> {
        let head = self.take(3)?;
        if head != [kind, 3, 3] {
            return Err(format!("record {head:02x?} instead of {kind:02x} 03 03"));
        }
        self.vector16()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_as_long_as_those_of_real_clients() {
        let hello = Hello::new(&HelloOptions::for_domain("example.com"), &[1; 16]);
        assert!(
            (1700..2100).contains(&hello.bytes.len()),
            "{}",
            hello.bytes.len()
        );
        let (kind, body, used) = split_record(&hello.bytes).unwrap();
        assert_eq!((kind, used), (HANDSHAKE, hello.bytes.len()));
        assert_eq!(body[6..38], hello.random);
    }

    #[test]
    fn several_records_carry_the_same_message() {
        let options = HelloOptions {
            records: 3,
            ..HelloOptions::for_domain("example.com")
        };
        let hello = Hello::new(&options, &[1; 16]);
        let (mut rest, mut message) = (hello.bytes.as_slice(), Vec::new());
        for _ in 0..3 {
            let (_, body, used) = split_record(rest).unwrap();
            message.extend_from_slice(body);
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        let length = u32::from_be_bytes([0, message[1], message[2], message[3]]);
        assert_eq!(length as usize, message.len() - 4);
    }

    #[test]
    fn points_are_told_from_the_rest() {
        let mut base_point = [0; 32];
        base_point[0] = 9;
        assert_eq!(on_curve25519(&base_point), Ok(()));
        // u = 2 lies on the twist.
        base_point[0] = 2;
        assert!(on_curve25519(&base_point).is_err());
        assert!(on_curve25519(&[0xff; 32]).is_err());
    }
}
