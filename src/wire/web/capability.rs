use std::fmt;

use smol_mtproxy_ciphers::{constant_time_eq, hmac_sha256};

use super::{BasePath, HostName, WebKey, code};

const LABEL: &[u8] = b"tdesktop-web-proxy-bridge-v1\n";
const LABEL_WITH_PATH: &[u8] = b"tdesktop-web-proxy-bridge-v2\n";

/// What a page is asked for with, `?bridge=`: whoever has it has the secret's right to that
/// page for good. Never printed by `Debug`.
#[derive(Clone, Copy)]
pub struct Capability([u8; 32]);

impl Capability {
    pub fn of(key: &WebKey, host: &HostName, path: Option<&BasePath>) -> Self {
        let (bytes, host) = (key.bytes(), host.as_str().as_bytes());
        Self(match path {
            None => hmac_sha256(&bytes, &[LABEL, host]),
            Some(path) => {
                let path = path.as_str().as_bytes();
                hmac_sha256(&bytes, &[LABEL_WITH_PATH, host, b"\n", path])
            }
        })
    }

    /// From the 43 letters of a request, if they are exactly as an app writes them.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        code::decode(letters).map(Self)
    }

    /// For one that was found by [`code::candidates`].
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where among `known` it is. All of them are looked at, whichever it is.
    pub fn find<'k>(&self, known: impl IntoIterator<Item = &'k Self>) -> Option<usize> {
        let known = known.into_iter().enumerate();
        known.fold(None, |found, (at, known)| match self == known {
            true => Some(at),
            false => found,
        })
    }
}

/// In constant time.
impl PartialEq for Capability {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Capability {}

/// The 43 letters: for a request, never for a log.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        code::encode(&self.0)
            .iter()
            .try_for_each(|letter| fmt::Write::write_char(f, char::from(*letter)))
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capability(hidden)")
    }
}
