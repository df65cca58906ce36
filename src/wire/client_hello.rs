//! The first message of a fake-TLS client, which is a TLS 1.3 ClientHello in
//! every respect but one: its random is a signature (`doc/protocol.md` §6).

use std::borrow::Cow;
use std::fmt;

use smol_mtproxy_ciphers::{constant_time_eq, hmac_sha256};

use super::bytes::Reader;
use super::secret::{Domain, Secret};

/// The longest hello that is read, record headers included, in bytes.
pub const MAX_HELLO: usize = 16 * 1024;

/// Bytes of an ML-KEM-768 public key.
pub const MLKEM768_KEY: usize = 1184;

/// Share of the post-quantum group: ML-KEM-768 key, then x25519.
const X25519_MLKEM768: (u16, usize) = (0x11ec, MLKEM768_KEY + 32);
const X25519: (u16, usize) = (0x001d, 32);

const RECORD_HANDSHAKE: u8 = 0x16;
const RECORD_HEADER: usize = 5;
const MAX_RECORD: usize = 16_384;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const MESSAGE_HEADER: usize = 4;
/// Where the random lies in the message and, one record being usual, in the
/// raw bytes.
const RANDOM_IN_MESSAGE: usize = 6;
const RANDOM_IN_RECORD: usize = RECORD_HEADER + RANDOM_IN_MESSAGE;
const RANDOM_LEN: usize = 32;

pub enum Parsed<T> {
    Incomplete,
    /// `value` was read from the first `consumed` bytes.
    Complete {
        value: T,
        consumed: usize,
    },
}

/// What the proxy needs to know of a ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    pub random: [u8; RANDOM_LEN],
    pub session_id: heapless::Vec<u8, 32>,
    /// The TLS 1.3 cipher suites (1301..1303) that it offers, in its order.
    pub cipher_suites: heapless::Vec<u16, 3>,
    /// `None` too when the name is not a host name.
    pub sni: Option<Domain>,
    /// Its x25519 key share.
    pub x25519: Option<[u8; 32]>,
    /// The ML-KEM-768 key in its share of the post-quantum group
    /// X25519MLKEM768, as it came.
    pub x25519_mlkem768: Option<Box<[u8; MLKEM768_KEY]>>,
    /// It offers TLS 1.3.
    pub tls13: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The first bytes are of another protocol.
    NotTls,
    /// TLS, but not the beginning of a handshake.
    NotClientHello,
    Malformed,
    TooLong,
}

/// Reads a ClientHello from the beginning of a connection. It may lie in
/// several records. What cannot become one is refused as soon as it shows.
pub fn parse(bytes: &[u8]) -> Result<Parsed<ClientHello>, HelloError> {
    Records::default().parse(bytes)
}

/// Checks the signature of `hello`, read from `bytes`, and returns the time
/// that it carries: unix seconds, or of some clients the seconds since boot.
pub fn verify(bytes: &[u8], hello: &ClientHello, secret: &Secret) -> Option<u32> {
    let mut records = Records::default();
    records.find(bytes).ok().filter(|is_whole| *is_whole)?;
    let raw = bytes.get(..records.end)?;
    if records.count == 1 {
        return signed_time(raw, hello, secret);
    }
    // Clients sign one record; what split it stands between us and them.
    // Should a client itself write several, it signs them as they are.
    let message = records.message(bytes);
    let [kind, major, minor, ..] = *raw else {
        return None;
    };
    let [high, low] = u16::try_from(message.len()).ok()?.to_be_bytes();
    let joined = [&[kind, major, minor, high, low], &*message].concat();
    signed_time(&joined, hello, secret).or_else(|| signed_time(raw, hello, secret))
}

fn signed_time(record: &[u8], hello: &ClientHello, secret: &Secret) -> Option<u32> {
    let (head, rest) = record.split_at_checked(RANDOM_IN_RECORD)?;
    let (random, tail) = rest.split_at_checked(RANDOM_LEN)?;
    if random != hello.random {
        return None;
    }
    let digest = hmac_sha256(&secret.0, &[head, &[0; RANDOM_LEN], tail]);
    let mut mask: [u8; RANDOM_LEN] = std::array::from_fn(|i| digest[i] ^ hello.random[i]);
    let time = [28, 29, 30, 31].map(|i| std::mem::take(&mut mask[i]));
    constant_time_eq(&mask, &[0; RANDOM_LEN]).then_some(u32::from_le_bytes(time))
}

/// Where the records lie that hold a ClientHello, as far as they have come. It
/// goes on from there, so that many small ones are not read again and again.
#[derive(Default)]
pub struct Records {
    /// Those that are whole.
    count: usize,
    /// Of the message in them.
    header: heapless::Vec<u8, MESSAGE_HEADER>,
    /// Bytes of the message in them, its header included.
    gathered: usize,
    /// Where the last of them ends.
    end: usize,
    wanted: usize,
}

impl Records {
    /// The function [`parse`] for bytes that are those of the last call, and
    /// more.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<Parsed<ClientHello>, HelloError> {
        if !self.find(bytes)? {
            return Ok(Parsed::Incomplete);
        }
        let message = self.message(bytes);
        let body = message.get(MESSAGE_HEADER..).unwrap_or_default();
        let value = parse_body(body).ok_or(HelloError::Malformed)?;
        Ok(Parsed::Complete {
            value,
            consumed: self.end,
        })
    }

    /// Bytes that an incomplete hello lacks at least: nothing behind it.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether they hold all of it.
    fn find(&mut self, bytes: &[u8]) -> Result<bool, HelloError> {
        loop {
            let rest = bytes.get(self.end..).unwrap_or_default();
            let Some(len) = record_len(rest, self.count == 0)? else {
                let left = missing(&self.header, self.gathered)?;
                self.wanted = RECORD_HEADER.saturating_sub(rest.len()) + left;
                break;
            };
            let payload = rest.get(RECORD_HEADER..).unwrap_or_default();
            let payload = payload.get(..len).unwrap_or(payload);
            let mut header = self.header.clone();
            let room = MESSAGE_HEADER - header.len();
            header.extend(payload.iter().take(room).copied());
            let left = missing(&header, self.gathered + len)?;
            let end = self.end + RECORD_HEADER + len;
            if end > bytes.len() {
                let behind = if left > 0 { RECORD_HEADER + left } else { 0 };
                self.wanted = end - bytes.len() + behind;
                break;
            }
            (self.count, self.end) = (self.count + 1, end);
            (self.header, self.gathered) = (header, self.gathered + len);
            if left == 0 {
                return Ok(true);
            }
        }
        if bytes.len() < MAX_HELLO {
            Ok(false)
        } else {
            Err(HelloError::TooLong)
        }
    }

    /// The message that the records of `bytes` hold.
    pub(crate) fn message<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let raw = bytes.get(..self.end).unwrap_or_default();
        if self.count == 1 {
            return Cow::Borrowed(raw.get(RECORD_HEADER..).unwrap_or_default());
        }
        let mut message = Vec::with_capacity(self.gathered);
        let mut records = Reader(raw);
        while let Some(payload) = records.array::<3>().and_then(|_| records.vec16()) {
            message.extend_from_slice(payload);
        }
        Cow::Owned(message)
    }
}

/// Length of the payload of the record that begins here.
fn record_len(bytes: &[u8], first: bool) -> Result<Option<usize>, HelloError> {
    let not_a_record = if first {
        HelloError::NotTls
    } else {
        HelloError::Malformed
    };
    let expected = |at: usize, valid: fn(u8) -> bool| bytes.get(at).is_none_or(|&byte| valid(byte));
    if !(expected(0, |kind| kind == RECORD_HANDSHAKE)
        && expected(1, |major| major == 3)
        && expected(2, |minor| minor <= 4))
    {
        return Err(not_a_record);
    }
    let Some(&[_, _, _, high, low]) = bytes.first_chunk() else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(HelloError::Malformed),
        len if len > MAX_RECORD => Err(HelloError::TooLong),
        len => Ok(Some(len)),
    }
}

/// Bytes of a message that are missing at least when `gathered` of it will be
/// there, `header` already is.
fn missing(header: &[u8], gathered: usize) -> Result<usize, HelloError> {
    if header
        .first()
        .is_some_and(|&kind| kind != MESSAGE_CLIENT_HELLO)
    {
        return Err(HelloError::NotClientHello);
    }
    let Some(&[_, a, b, c]) = header.first_chunk() else {
        return Ok(MESSAGE_HEADER.saturating_sub(gathered));
    };
    let len = u32::from_be_bytes([0, a, b, c]) as usize + MESSAGE_HEADER;
    if len > MAX_HELLO - RECORD_HEADER {
        return Err(HelloError::TooLong);
    }
    len.checked_sub(gathered).ok_or(HelloError::Malformed)
}

fn parse_body(body: &[u8]) -> Option<ClientHello> {
    let mut fields = Reader(body);
    let _legacy_version = fields.u16_be().filter(|version| version >> 8 == 3)?;
    let random = fields.array()?;
    let session_id = heapless::Vec::from_slice(fields.vec8()?).ok()?;
    let cipher_suites = offered_suites(fields.vec16()?)?;
    let _compression = fields.vec8().filter(|methods| methods.contains(&0))?;
    let mut hello = ClientHello {
        random,
        session_id,
        cipher_suites,
        sni: None,
        x25519: None,
        x25519_mlkem768: None,
        tls13: false,
    };
    if !fields.is_empty() {
        let extensions = fields.vec16()?;
        parse_extensions(extensions, &mut hello)?;
    }
    fields.is_empty().then_some(hello)
}

fn offered_suites(list: &[u8]) -> Option<heapless::Vec<u16, 3>> {
    let mut suites = heapless::Vec::new();
    let mut list = Reader(list);
    while !list.is_empty() {
        let suite = list.u16_be()?;
        if (0x1301..=0x1303).contains(&suite) && !suites.contains(&suite) {
            suites.push(suite).ok()?;
        }
    }
    Some(suites)
}

fn parse_extensions(extensions: &[u8], hello: &mut ClientHello) -> Option<()> {
    let mut extensions = Reader(extensions);
    while !extensions.is_empty() {
        let kind = extensions.u16_be()?;
        let mut data = Reader(extensions.vec16()?);
        match kind {
            0x0000 => hello.sni = server_name(data.vec16()?)?,
            0x002b => hello.tls13 = versions(data.vec8()?)?,
            0x0033 => key_shares(data.vec16()?, hello)?,
            _ => continue,
        }
        if !data.is_empty() {
            return None;
        }
    }
    Some(())
}

fn server_name(list: &[u8]) -> Option<Option<Domain>> {
    let mut list = Reader(list);
    let mut name = None;
    while !list.is_empty() {
        let [kind] = list.array()?;
        let bytes = list.vec16()?;
        if kind == 0 && name.is_none() {
            name = Domain::from_sni(bytes).ok();
        }
    }
    Some(name)
}

fn versions(list: &[u8]) -> Option<bool> {
    let mut list = Reader(list);
    let mut tls13 = false;
    while !list.is_empty() {
        tls13 |= list.u16_be()? == 0x0304;
    }
    Some(tls13)
}

fn key_shares(list: &[u8], hello: &mut ClientHello) -> Option<()> {
    let mut list = Reader(list);
    while !list.is_empty() {
        let group = list.u16_be()?;
        let share = list.vec16()?;
        match (group, share.len()) {
            X25519 => hello.x25519 = share.try_into().ok(),
            X25519_MLKEM768 => {
                hello.x25519_mlkem768 = share.first_chunk().map(|key| Box::new(*key));
            }
            _ => {}
        }
    }
    Some(())
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "the client does not speak TLS",
            Self::NotClientHello => "the client's TLS does not begin with a ClientHello",
            Self::Malformed => "the client's ClientHello is malformed",
            Self::TooLong => "the client's ClientHello is longer than 16 KiB",
        })
    }
}

impl std::error::Error for HelloError {}
