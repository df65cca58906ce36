use std::fmt;

use base64ct::{Base64, Encoding};

use super::accept::{ACCEPT_LEN, KEY_LEN, accept_of};

/// The longest head of an answer that is read, in bytes.
pub const MAX_HEAD: usize = 8 * 1024;

/// More than any front sends.
const MAX_HEADERS: usize = 64;

/// Characters of a redirect's target that are kept.
const MAX_LOCATION: usize = 200;

/// The request for a WebSocket. `path` has its query, `key` is random anew each time.
/// Both texts are of letters that end no line: whoever parsed them has seen to that.
pub fn request(host: &str, path: &str, key: &[u8; KEY_LEN], protocol: Option<&str>) -> String {
    let key = Base64::encode_string(key);
    let (name, protocol) = match protocol {
        Some(protocol) => ("Sec-WebSocket-Protocol: ", [protocol, "\r\n"].concat()),
        None => ("", String::new()),
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{name}{protocol}\r\n"
    )
}

/// Reads the head of the answer, which may come in any pieces.
pub struct UpgradeAnswer {
    /// What the server makes of our key.
    accept: [u8; ACCEPT_LEN],
    /// At most [`MAX_HEAD`] bytes.
    head: Vec<u8>,
    /// Bytes of heads before this one, which only said that it follows.
    before: usize,
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// What is asked for is not served here. The target is printable ASCII, at most 200
    /// letters of it.
    Redirect {
        status: u16,
        location: String,
    },
    /// Any other status than 101.
    Status(u16),
    /// 101, but not from one who has read our request.
    BadAccept,
    /// 101, but to something that was not asked for.
    BadUpgrade,
    Malformed,
    /// No end within [`MAX_HEAD`] bytes.
    TooLong,
}

impl UpgradeAnswer {
    /// `key` is that of the request.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = Base64::encode_string(key);
        Self {
            accept: accept_of(key.as_bytes()),
            head: Vec::new(),
            before: 0,
        }
    }

    /// Takes bytes of the head off the front of `input`. Whether it is complete, and what
    /// was asked for: what is left in `input` are frames.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<bool, UpgradeError> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.before + self.head.len() >= MAX_HEAD {
                return Err(UpgradeError::TooLong);
            }
            *input = rest;
            self.head.push(byte);
            if byte == b'\n' && self.is_whole() {
                if self.accepted()? {
                    self.head = Vec::new();
                    return Ok(true);
                }
                self.before += self.head.len();
                self.head.clear();
            }
        }
        Ok(false)
    }

    /// Whether the line that has just ended is the empty one.
    fn is_whole(&self) -> bool {
        let head = self.head.as_slice();
        head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") || head.len() <= 2
    }

    /// Whether a whole head is the last one.
    fn accepted(&self) -> Result<bool, UpgradeError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&self.head) {
            Ok(httparse::Status::Complete(length)) if length == self.head.len() => {}
            _ => return Err(UpgradeError::Malformed),
        }
        match head.code.unwrap_or_default() {
            101 => self.check(&Fields(head.headers)).map(|()| true),
            100..200 => Ok(false),
            status @ (301..=303 | 307 | 308) => Err(UpgradeError::Redirect {
                status,
                location: location(&Fields(head.headers)),
            }),
            status => Err(UpgradeError::Status(status)),
        }
    }

    fn check(&self, fields: &Fields<'_, '_>) -> Result<(), UpgradeError> {
        // No word on a sub-protocol: Workers answer without.
        let is_websocket = fields.has_word("upgrade", "websocket")
            && fields.has_word("connection", "upgrade")
            && fields.all("sec-websocket-extensions").next().is_none();
        let mut accepts = fields.all("sec-websocket-accept");
        let accept = accepts.next().filter(|_| accepts.next().is_none());
        if accept != Some(self.accept.as_slice()) {
            Err(UpgradeError::BadAccept)
        } else if !is_websocket {
            Err(UpgradeError::BadUpgrade)
        } else {
            Ok(())
        }
    }
}

/// The header fields of an answer.
struct Fields<'h, 'b>(&'h [httparse::Header<'b>]);

impl Fields<'_, '_> {
    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.0.iter();
        let fields = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii())
    }

    /// Whether `word` is in the list that the field has.
    fn has_word(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

fn location(fields: &Fields<'_, '_>) -> String {
    let location = fields.all("location").next().unwrap_or_default();
    let letters = location.iter().filter(|byte| byte.is_ascii_graphic());
    letters
        .take(MAX_LOCATION)
        .copied()
        .map(char::from)
        .collect()
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect { status, location } => write!(f, "{status} to {location}"),
            Self::Status(status) => write!(f, "the status {status}"),
            Self::BadAccept => write!(f, "an upgrade that does not answer our request"),
            Self::BadUpgrade => write!(f, "an upgrade to something else than a WebSocket"),
            Self::Malformed => write!(f, "an answer that is not HTTP/1.1"),
            Self::TooLong => write!(f, "an answer whose head is over {MAX_HEAD} bytes"),
        }
    }
}

impl std::error::Error for UpgradeError {}
