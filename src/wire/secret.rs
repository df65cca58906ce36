use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use smol_mtproxy_ciphers::sha256;

const PADDED: u8 = 0xdd;
const FAKE_TLS: u8 = 0xee;
const KEY_LEN: usize = 16;

/// The 16 bytes that a client and the proxy share. Never printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret(pub [u8; KEY_LEN]);

/// What @MTProxybot gives the owner of a proxy, 16 bytes; middle proxies only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdTag(pub [u8; KEY_LEN]);

/// A secret as users hand it around (`doc/protocol.md` §1): the key and how a
/// client has to disguise itself. Read from hex or base64url, printed as hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedSecret {
    pub key: Secret,
    pub form: SecretForm,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretForm {
    Classic,
    Padded,
    FakeTls(Domain),
}

/// A host name: ASCII labels, lower case, no root dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    NotHex,
    Encoding,
    /// In bytes.
    Length(usize),
    /// Hex digits, which nearly all secrets are written in.
    Digits(usize),
    NoDomain,
    Domain(DomainError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainError {
    Empty,
    TooLong(usize),
    Label,
    /// An IP address, or what a slip made of one.
    Address,
}

/// The key that only invites for this SNI carry (`doc/protocol.md` §1).
pub fn derive_for_sni(secret: &Secret, salt: &[u8], domain: &str) -> Secret {
    let hex = base16ct::lower::encode_string(&secret.0);
    let hash = sha256(&[salt, hex.as_bytes(), domain.as_bytes()]);
    Secret(std::array::from_fn(|i| hash[i]))
}

impl Domain {
    /// The longest that clients accept in a secret, in bytes.
    pub const MAX_IN_SECRET: usize = 182;
    /// The longest host name there is, in bytes.
    pub const MAX: usize = 253;

    /// A name as a ClientHello carries it: up to [`Domain::MAX`] bytes.
    pub fn from_sni(name: &[u8]) -> Result<Self, DomainError> {
        Self::parse(name, Self::MAX)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its last label is a number, as those of IPv4 addresses are and of
    /// names are not.
    pub fn is_address(&self) -> bool {
        let last = self.0.rsplit('.').next().unwrap_or_default();
        last.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Whether it is one of those that are kept for examples and tests (RFC 2606):
    /// nobody's site.
    pub fn is_example(&self) -> bool {
        let mut labels = self.0.rsplit('.');
        let last = labels.next().unwrap_or_default();
        match last {
            "com" | "net" | "org" => labels.next() == Some("example"),
            _ => matches!(last, "example" | "invalid" | "localhost" | "test"),
        }
    }

    fn parse(name: &[u8], max: usize) -> Result<Self, DomainError> {
        if name.is_empty() {
            return Err(DomainError::Empty);
        }
        if name.len() > max {
            return Err(DomainError::TooLong(name.len()));
        }
        if !name.split(|&byte| byte == b'.').all(is_label) {
            return Err(DomainError::Label);
        }
        let text = str::from_utf8(name).map_err(|_| DomainError::Label)?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl FromStr for Domain {
    type Err = DomainError;

    /// A name that a person gives. TLS has no addresses in the place of names.
    fn from_str(text: &str) -> Result<Self, DomainError> {
        let domain = Self::parse(text.as_bytes(), Self::MAX_IN_SECRET);
        let is_v6 = || text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
        match domain {
            Ok(domain) if domain.is_address() => Err(DomainError::Address),
            Err(_) if is_v6() => Err(DomainError::Address),
            other => other,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SharedSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let read = match base16ct::mixed::decode_vec(text) {
            Ok(bytes) => Self::from_bytes(&bytes).or_else(|error| {
                // Base64 of a secret may happen to consist of hex digits.
                let decoded = decode_base64(text).ok_or(error)?;
                Self::from_bytes(&decoded).map_err(|_| error)
            }),
            Err(_) => decode_base64(text)
                .ok_or(SecretError::Encoding)
                .and_then(|bytes| Self::from_bytes(&bytes)),
        };
        let is_hex = || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match read {
            Err(SecretError::Encoding | SecretError::Length(_)) if is_hex() => {
                Err(SecretError::Digits(text.len()))
            }
            other => other,
        }
    }
}

impl SharedSecret {
    fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        let length = SecretError::Length(bytes.len());
        let (form, key) = match bytes {
            key if key.len() == KEY_LEN => (SecretForm::Classic, key),
            [PADDED, key @ ..] => (SecretForm::Padded, key),
            [FAKE_TLS, rest @ ..] => {
                let (key, domain) = rest.split_at_checked(KEY_LEN).ok_or(length)?;
                (SecretForm::FakeTls(Self::domain(domain)?), key)
            }
            _ => return Err(length),
        };
        let key = Secret(key.try_into().map_err(|_| length)?);
        Ok(Self { key, form })
    }

    /// As base64url without padding, a quarter shorter than hex.
    pub fn to_base64(&self) -> String {
        let bytes = base16ct::lower::decode_vec(self.to_string());
        Base64UrlUnpadded::encode_string(&bytes.unwrap_or_default())
    }

    fn domain(bytes: &[u8]) -> Result<Domain, SecretError> {
        Domain::parse(bytes, Domain::MAX_IN_SECRET).map_err(|error| match error {
            DomainError::Empty => SecretError::NoDomain,
            error => SecretError::Domain(error),
        })
    }
}

/// Both alphabets, with or without `=`, as clients do.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let url = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    Base64UrlUnpadded::decode_vec(&url).ok()
}

impl fmt::Display for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base16ct::lower::encode_string(&self.key.0);
        match &self.form {
            SecretForm::Classic => write!(f, "{key}"),
            SecretForm::Padded => write!(f, "dd{key}"),
            SecretForm::FakeTls(domain) => {
                write!(
                    f,
                    "ee{key}{}",
                    base16ct::lower::encode_string(domain.0.as_bytes())
                )
            }
        }
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        sixteen_from_hex(text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl FromStr for AdTag {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        sixteen_from_hex(text).map(Self)
    }
}

impl fmt::Display for AdTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

fn sixteen_from_hex(text: &str) -> Result<[u8; KEY_LEN], SecretError> {
    let bytes = base16ct::mixed::decode_vec(text).map_err(|_| SecretError::NotHex)?;
    bytes.try_into().map_err(|_| SecretError::NotHex)
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHex => write!(f, "expected exactly 32 hex digits (16 bytes)"),
            Self::Encoding => write!(
                f,
                "a secret is written in hex or base64url; make one with `smol-mtproxy secret`"
            ),
            Self::Digits(count) => write!(
                f,
                "a secret has 32 hex digits, `dd` and 32, or `ee`, 32 and a domain in hex, and this \
                 one has {count}: copy all of it, or make one with `smol-mtproxy secret`"
            ),
            Self::Length(len) => write!(
                f,
                "not all hex digits and, as base64url, {len} bytes: a secret has 16, `dd` and 16, or \
                 `ee`, 16 and a domain: copy all of it, or make one with `smol-mtproxy secret`"
            ),
            Self::NoDomain => write!(
                f,
                "an `ee` secret needs a domain in hex behind its key: copy all of it, or make one \
                 with `smol-mtproxy secret ee DOMAIN`"
            ),
            Self::Domain(error) => write!(f, "the domain in the secret: {error}"),
        }
    }
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the domain is empty; give one like example.com"),
            Self::TooLong(len) => write!(
                f,
                "a domain of {len} bytes; clients accept at most {}",
                Domain::MAX_IN_SECRET
            ),
            Self::Label => write!(
                f,
                "not a host name (without https:// and path): letters, digits, - and _ between \
                 single dots, at most 63 each; other alphabets as xn--…"
            ),
            Self::Address => write!(
                f,
                "an IP address, and TLS asks for names: give a domain, best one of your own that leads \
                 to this server"
            ),
        }
    }
}

impl std::error::Error for SecretError {}
impl std::error::Error for DomainError {}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    fn parse(text: &str) -> Result<SharedSecret, SecretError> {
        text.parse()
    }

    #[test]
    fn every_form_in_hex_and_base64() {
        let domain = || SecretForm::FakeTls("example.com".parse().unwrap());
        for (hex, form) in [
            (KEY.to_owned(), SecretForm::Classic),
            (format!("dd{KEY}"), SecretForm::Padded),
            (format!("ee{KEY}6578616d706c652e636f6d"), domain()),
        ] {
            let secret = parse(&hex).unwrap();
            assert_eq!(secret.key, KEY.parse().unwrap());
            assert_eq!(secret.form, form);
            assert_eq!(secret.to_string(), hex);
            assert_eq!(parse(&hex.to_uppercase()), Ok(secret.clone()));

            let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
            for encoding in [
                data_encoding::BASE64URL_NOPAD,
                data_encoding::BASE64URL,
                data_encoding::BASE64,
            ] {
                assert_eq!(parse(&encoding.encode(&bytes)), Ok(secret.clone()));
            }
        }
    }

    #[test]
    fn keys_that_begin_like_a_form_stay_classic() {
        for first in ["dd", "ee"] {
            let secret = parse(&format!("{first}{}", &KEY[2..])).unwrap();
            assert_eq!(secret.form, SecretForm::Classic);
        }
    }

    #[test]
    fn wrong_secrets_are_named() {
        assert_eq!(parse("not a secret!"), Err(SecretError::Encoding));
        assert_eq!(parse(""), Err(SecretError::Length(0)));
        assert_eq!(parse(&format!("ee{KEY}")), Err(SecretError::NoDomain));
        assert_eq!(
            parse(&format!("ee{KEY}2e2e")),
            Err(SecretError::Domain(DomainError::Label))
        );
        assert_eq!(parse(&format!("dd{KEY}00")), Err(SecretError::Digits(36)));
        assert_eq!(parse(&KEY[1..]), Err(SecretError::Digits(31)));
        assert_eq!(parse("zzzz"), Err(SecretError::Length(3)));
        assert_eq!("123".parse::<AdTag>(), Err(SecretError::NotHex));
        assert_eq!(format!("{:?}", parse(KEY).unwrap().key), "Secret(hidden)");
    }

    #[test]
    fn domains() {
        let long = format!("{}.example", "a".repeat(50)).repeat(4);
        assert_eq!(Domain::from_sni(b"A-b.C").unwrap().as_str(), "a-b.c");
        assert!(Domain::from_sni(long.as_bytes()).is_ok());
        assert_eq!(long.parse::<Domain>(), Err(DomainError::TooLong(232)));
        for bad in ["a..b", ".a", "a.", "ä.example", "a b"] {
            assert_eq!(bad.parse::<Domain>(), Err(DomainError::Label));
        }
        for address in ["192.0.2.1", "192.0.2.300", "2001:db8::1", "[::1]", "1"] {
            assert_eq!(address.parse::<Domain>(), Err(DomainError::Address));
        }
        let is_example = |name: &str| name.parse::<Domain>().unwrap().is_example();
        for name in [
            "www.example.com",
            "example.org",
            "a.b.test",
            "proxy.example",
        ] {
            assert!(is_example(name), "{name}");
        }
        for name in ["notexample.com", "example.com.de", "com", "example.io"] {
            assert!(!is_example(name), "{name}");
        }
    }

    // Computed with Python's hashlib from the formula of doc/protocol.md §1.
    #[test]
    fn derived_secret() {
        let derived = derive_for_sni(&KEY.parse().unwrap(), b"salt", "example.com");
        assert_eq!(
            HEXLOWER.encode(&derived.0),
            "b2ba2f9b084f8a98b5222d389ec1c4f8"
        );
    }
}
