use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use percent_encoding::percent_decode_str;

use super::{BasePath, HostError, HostName, PathError, WebKey};

const TG: &str = "tg://webproxy?";
const T_ME: &str = "https://t.me/webproxy?";

/// All forms that apps take.
const PREFIXES: [&str; 7] = [
    TG,
    T_ME,
    "tg:webproxy?",
    "http://t.me/webproxy?",
    "t.me/webproxy?",
    "https://telegram.me/webproxy?",
    "http://telegram.me/webproxy?",
];

/// Stands before a secret that is for a host with a path.
const WITH_PATH: u8 = 0x70;

/// A link to a WEB proxy; its port is always 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebInvite {
    pub host: HostName,
    pub path: Option<BasePath>,
    pub key: WebKey,
}

/// Why apps do not take a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebInviteError {
    NotAnInvite,
    NoServer,
    Host(HostError),
    Path(PathError),
    NoSecret,
    Secret,
    /// An `ee` secret.
    FakeTls,
    /// There is a path, and the secret is not marked for one.
    Unmarked,
}

impl WebInvite {
    /// The link for those who have the app.
    pub fn tg(&self) -> String {
        format!("{TG}{}", self.query(self.secret()))
    }

    /// The link that also works in a browser.
    pub fn t_me(&self) -> String {
        format!("{T_ME}{}", self.query(self.secret()))
    }

    /// The first in fewer characters, for a QR code.
    pub fn short_tg(&self) -> String {
        let secret = Base64UrlUnpadded::encode_string(&self.secret_bytes());
        format!("{TG}{}", self.query(secret))
    }

    fn query(&self, secret: String) -> String {
        let host = &self.host;
        match &self.path {
            None => format!("server={host}&secret={secret}"),
            Some(path) => {
                let path = path.as_str().replace('/', "%2F");
                format!("server={host}%2F{path}&secret={secret}")
            }
        }
    }

    /// In hex, or as base64url where apps look for the mark of a path.
    fn secret(&self) -> String {
        let bytes = self.secret_bytes();
        match self.path {
            None => base16ct::lower::encode_string(&bytes),
            Some(_) => Base64UrlUnpadded::encode_string(&bytes),
        }
    }

    fn secret_bytes(&self) -> heapless::Vec<u8, 18, u8> {
        let mark: &[u8] = if self.path.is_some() {
            &[WITH_PATH]
        } else {
            &[]
        };
        mark.iter().chain(&self.key.bytes()).copied().collect()
    }
}

impl FromStr for WebInvite {
    type Err = WebInviteError;

    fn from_str(text: &str) -> Result<Self, WebInviteError> {
        let query = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        let query = query.ok_or(WebInviteError::NotAnInvite)?;
        let (mut server, mut other_server, mut secret) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "server" => server = Some(value),
                "host" => other_server = Some(value),
                "secret" => secret = Some(value),
                _ => {}
            }
        }
        let server = server.or(other_server);
        let server = server.filter(|server| !server.is_empty());
        let server = server.ok_or(WebInviteError::NoServer)?;
        let (host, path) = match server.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (&*server, None),
        };
        let host = host.parse().map_err(WebInviteError::Host)?;
        let path = path.map(str::parse).transpose();
        let path: Option<BasePath> = path.map_err(WebInviteError::Path)?;
        let (key, is_marked) = read_secret(&secret.ok_or(WebInviteError::NoSecret)?)?;
        match path.is_some() && !is_marked {
            true => Err(WebInviteError::Unmarked),
            false => Ok(Self { host, path, key }),
        }
    }
}

/// A secret in hex or base64url, and whether it is marked for a host with a path.
fn read_secret(text: &str) -> Result<(WebKey, bool), WebInviteError> {
    let hex = match text.len() {
        32 | 34 => base16ct::mixed::decode_vec(text).ok(),
        _ => None,
    };
    let is_hex = hex.is_some();
    let decoded = hex.or_else(|| Base64UrlUnpadded::decode_vec(text.trim_end_matches('=')).ok());
    let bytes = decoded.ok_or(WebInviteError::Secret)?;
    if let Some(key) = WebKey::from_bytes(&bytes) {
        return Ok((key, false));
    }
    match bytes.as_slice() {
        [WITH_PATH, key @ ..] if !is_hex => WebKey::from_bytes(key)
            .map(|key| (key, true))
            .ok_or(WebInviteError::Secret),
        [0xee, ..] if bytes.len() > 16 => Err(WebInviteError::FakeTls),
        _ => Err(WebInviteError::Secret),
    }
}

impl fmt::Display for WebInviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnInvite => write!(
                f,
                "a WEB proxy is given as tg://webproxy?… or https://t.me/webproxy?…"
            ),
            Self::NoServer => write!(f, "no server is named; add server=HOST"),
            Self::Host(error) => error.fmt(f),
            Self::Path(error) => error.fmt(f),
            Self::NoSecret => write!(f, "the link has no secret; add secret=S"),
            Self::Secret => write!(
                f,
                "a WEB proxy's secret is 16 bytes, or dd and 16, in hex or base64url: copy all of it"
            ),
            Self::FakeTls => write!(
                f,
                "apps take no ee secret for a WEB proxy: give its 32 digits alone, or with dd in front"
            ),
            Self::Unmarked => write!(
                f,
                "the server has a path and the secret is not marked for one: take the link as \
                 `smol-mtproxy link` prints it"
            ),
        }
    }
}

impl std::error::Error for WebInviteError {}
