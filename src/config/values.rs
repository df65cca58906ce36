use std::fmt;
use std::net::SocketAddr;
use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::dc::DcId;
use crate::wire::secret::SharedSecret;

/// What is wrong with a value and what would be right, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadValue(String);

impl BadValue {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

pub(super) fn bad<T>(text: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue(text.into()))
}

/// What the one of `words` means that `text` is.
pub(super) fn one_of<T: Copy, const N: usize>(
    text: &str,
    words: [(&str, T); N],
) -> Result<T, BadValue> {
    let at = place_among(text, &words.map(|(word, _)| word))?;
    Ok(words[at].1)
}

/// There are two words at least.
fn place_among(text: &str, words: &[&str]) -> Result<usize, BadValue> {
    words.iter().position(|word| *word == text).ok_or_else(|| {
        let (last, others) = words.split_last().unwrap_or((&"", &[]));
        BadValue(format!("expected {} or {last}", others.join(", ")))
    })
}

pub(super) fn parse_secret(text: &str) -> Result<SharedSecret, BadValue> {
    // The text itself is not repeated: it is nearly a secret.
    text.parse().map_err(|e| BadValue(format!("{e}")))
}

/// Names stand in log lines, metrics and links' captions.
pub(super) fn check_name(name: &str) -> Result<String, BadValue> {
    const MAX_LEN: usize = 64;
    let is_fine = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() && !"=,\"\\".contains(c);
    if name.is_empty() || name.len() > MAX_LEN || !name.chars().all(is_fine) {
        return bad(format!(
            "a name has 1 to {MAX_LEN} letters, digits or signs, without spaces , = \" \\"
        ));
    }
    Ok(name.to_owned())
}

/// A word for a message, unless it may be a secret in the wrong place: messages
/// go to logs.
pub(super) fn repeated(word: &str) -> &str {
    const MAX_LEN: usize = 30;
    let bare = word.trim_start_matches('-');
    if bare.len() > MAX_LEN || bare.parse::<SharedSecret>().is_ok() {
        "what stands there (perhaps a secret, so it is not repeated)"
    } else {
        word
    }
}

/// Which half of the proxy this process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    Both,
    /// Takes clients.
    Front,
    /// Talks to Telegram.
    Back,
}

impl FromStr for Role {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(
            text,
            [
                ("both", Self::Both),
                ("front", Self::Front),
                ("back", Self::Back),
            ],
        )
    }
}

/// How clients may talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Plain obfuscation, abridged or intermediate.
    pub(crate) classic: bool,
    /// Padded intermediate, secrets that begin with `dd`.
    pub(crate) dd: bool,
    /// Fake-TLS, secrets that begin with `ee`.
    pub(crate) tls: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Self {
            classic: false,
            dd: true,
            tls: true,
        }
    }
}

impl FromStr for Allow {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut allow = Self {
            classic: false,
            dd: false,
            tls: false,
        };
        for word in text.split(',') {
            match word.trim() {
                "classic" => allow.classic = true,
                "dd" => allow.dd = true,
                "tls" => allow.tls = true,
                other => {
                    return bad(format!(
                        "`{other}`: expected classic, dd and tls, joined by commas"
                    ));
                }
            }
        }
        Ok(allow)
    }
}

/// Where a list of Telegram's comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Url(String),
    File(PathBuf),
}

impl FromStr for Source {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        match text.split_once("://") {
            _ if text.is_empty() => bad("expected a URL or a file"),
            _ if is_url && cfg!(feature = "tls") => Ok(Self::Url(text.to_owned())),
            _ if is_url => bad("this build cannot fetch URLs; download it and give the file"),
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => bad(format!(
                "{scheme}:// is not supported; http://, https:// or a file is"
            )),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// `yes` or `no`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct YesNo(pub(crate) bool);

impl FromStr for YesNo {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(text, [("yes", Self(true)), ("no", Self(false))])
    }
}

/// Names of protocols, for ALPN, joined by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocols(pub(crate) Vec<String>);

impl FromStr for Protocols {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let is_fine = |name: &String| (1..=255).contains(&name.len());
        match names.iter().all(is_fine) {
            true => Ok(Self(names)),
            false => bad("expected names of 1 to 255 bytes, joined by commas"),
        }
    }
}

/// `--dc ID=ADDR:PORT`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DcOverride(pub(crate) DcId, pub(crate) SocketAddr);

impl FromStr for DcOverride {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parsed = text.split_once('=').and_then(|(id, address)| {
            let (id, address): (DcId, SocketAddr) = (id.parse().ok()?, address.parse().ok()?);
            (id.0 != 0 && address.port() != 0).then_some(Self(id, address))
        });
        parsed.ok_or_else(|| {
            BadValue(format!(
                "`{text}`: expected ID=ADDR:PORT, as in 2=149.154.167.51:443 or 2=[2001:db8::1]:443"
            ))
        })
    }
}

/// Why a text is no number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSize {
    Form,
    /// More than 64 bits hold.
    TooLarge,
}

/// Bytes: a whole number, with K, M, G or T for powers of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, NoSize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return Err(NoSize::Form),
    };
    let number: u64 = digits.parse().map_err(|error: ParseIntError| {
        let is_long = *error.kind() == IntErrorKind::PosOverflow;
        if is_long {
            NoSize::TooLarge
        } else {
            NoSize::Form
        }
    })?;
    number.checked_mul(1 << shift).ok_or(NoSize::TooLarge)
}

/// As [`bytes()`] reads it, in the largest unit of which it is a whole number.
#[cfg(feature = "ctl")]
pub(super) fn bytes_text(number: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let mut fitting = units
        .into_iter()
        .filter(|(shift, _)| number != 0 && number.trailing_zeros() >= *shift);
    match fitting.next() {
        Some((shift, unit)) => format!("{}{unit}", number >> shift),
        None => number.to_string(),
    }
}

/// `--buffers SIZE`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(crate) usize);

impl Size {
    /// A client's largest packet must fit.
    pub(crate) const MIN: usize = 1 << 20;
}

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let size = bytes(text).and_then(|size| size.try_into().map_err(|_| NoSize::TooLarge));
        match size {
            Err(NoSize::Form) => bad(format!("`{text}`: expected a size such as 2048K, 2M or 1G")),
            Err(NoSize::TooLarge) => bad(format!("`{text}` is more than this machine can address")),
            Ok(size) if size < Self::MIN => bad(format!(
                "`{text}` is too small: a packet of 1M must fit, so give at least 1M"
            )),
            Ok(size) => Ok(Self(size)),
        }
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> FromStr for Integer<MIN, MAX> {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        whole(text, MIN, MAX).map(Self)
    }
}

fn whole(text: &str, min: u64, max: u64) -> Result<u64, BadValue> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => bad(format!(
            "`{text}`: expected a whole number from {min} to {max}"
        )),
    }
}

const DAY: u64 = 24 * 3600;

/// At most a week.
pub(super) type Seconds = Integer<1, { 7 * DAY }>;

pub(super) fn seconds(given: Option<Seconds>, default: u64) -> Duration {
    Duration::from_secs(given.map_or(default, |seconds| seconds.0))
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
