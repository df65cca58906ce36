use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// In bytes.
const MAX: usize = 253;
const MAX_LABEL: usize = 63;

/// A name that apps take for a WEB proxy: labels of `[a-z0-9-]`, at least two, in ASCII
/// (`xn--…` for other alphabets), lower case, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

/// Why apps do not take a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    Empty,
    /// In bytes.
    TooLong(usize),
    /// Letters of other alphabets.
    Unicode,
    Label,
    LastDot,
    NoDot,
    Address,
}

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a `Host` header names it: alone or with the port that apps use.
    pub fn is_host(&self, header: &[u8]) -> bool {
        let name = header.strip_suffix(b":443").unwrap_or(header);
        self.is_name(name)
    }

    /// Whether `name`, a server name of TLS for one, is it.
    pub fn is_name(&self, name: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(name)
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Address);
        }
        if !text.is_ascii() {
            return Err(HostError::Unicode);
        }
        if text.len() > MAX {
            return Err(HostError::TooLong(text.len()));
        }
        if text.len() > 1 && text.ends_with('.') {
            return Err(HostError::LastDot);
        }
        if !text.split('.').all(is_label) {
            return Err(HostError::Label);
        }
        let name = text.to_ascii_lowercase();
        let (_, last) = name.rsplit_once('.').ok_or(match is_number(&name) {
            true => HostError::Address,
            false => HostError::NoDot,
        })?;
        if is_number(last) {
            return Err(HostError::Address);
        }
        Ok(Self(name.into()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What browsers take for the last part of an IPv4 address.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the host name is empty; give one like proxy.example.com"),
            Self::TooLong(length) => {
                write!(f, "a host name of {length} bytes; apps take {MAX} at most")
            }
            Self::Unicode => write!(
                f,
                "a host name has to be given as its xn--… form: look it up in the domain's settings"
            ),
            Self::Label => write!(
                f,
                "not a host name (without https:// and port): letters, digits and - between single \
                 dots, at most {MAX_LABEL} each, no - at their ends"
            ),
            Self::LastDot => write!(f, "a host name without the dot at its end, please"),
            Self::NoDot => write!(
                f,
                "a host name without a dot, which apps refuse; give a whole one like \
                 proxy.example.com"
            ),
            Self::Address => write!(
                f,
                "an IP address, and apps take names only: give one that leads to this server"
            ),
        }
    }
}

impl std::error::Error for HostError {}
