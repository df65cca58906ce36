//! The token of the status page and the API, in a file of `--data-dir`: who can read that file may do all that `ctl` can.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use smol_mtproxy_ciphers::constant_time_eq;

use super::secret::new_key;
use crate::config::{DataDir, read_file};

const FILE: &str = "api-token";

/// Of one that an operator has made up: shorter ones can be guessed.
const MIN_LEN: usize = 16;

pub(super) struct ApiToken(String);

/// Why there is none, and what to do.
#[derive(Debug)]
pub(super) enum TokenFault {
    /// It cannot be kept.
    NotWritten(PathBuf, io::Error),
    NotRead(PathBuf, io::Error),
    TooShort(PathBuf),
    /// No proxy has made one yet.
    NotMade(PathBuf),
}

impl ApiToken {
    /// The one that is kept, or a new one.
    pub(crate) fn take(files: &DataDir) -> Result<Self, TokenFault> {
        match shown(files) {
            Ok(text) => Ok(Self(text)),
            Err(TokenFault::NotMade(path)) => {
                let text = base16ct::lower::encode_string(&new_key().0);
                let kept = files.write(FILE, format!("{text}\n").as_bytes());
                kept.map_err(|error| TokenFault::NotWritten(path, error))?;
                Ok(Self(text))
            }
            Err(fault) => Err(fault),
        }
    }

    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        constant_time_eq(self.0.as_bytes(), shown)
    }
}

/// The one that is kept.
pub(super) fn shown(files: &DataDir) -> Result<String, TokenFault> {
    let path = files.place_of(FILE);
    let text = match read_file(&path, 4096) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TokenFault::NotMade(path));
        }
        Err(error) => return Err(TokenFault::NotRead(path, error)),
    };
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match text.len() >= MIN_LEN && is_plain {
        true => Ok(text),
        false => Err(TokenFault::TooShort(path)),
    }
}

impl TokenFault {
    /// Of what `ctl` may not read.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Self::NotRead(_, error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| path.display().to_string();
        match self {
            Self::NotWritten(path, error) => write!(
                f,
                "its token cannot be kept in {}: {error}; give a --data-dir that can be written",
                shown(path)
            ),
            Self::NotRead(path, error) => write!(
                f,
                "the token in {} cannot be read: {error}; be the user that runs the proxy, or root",
                shown(path)
            ),
            Self::TooShort(path) => write!(
                f,
                "{} holds no token of {MIN_LEN} signs or more: remove it, and the next start makes \
                 one",
                shown(path)
            ),
            Self::NotMade(path) => write!(
                f,
                "there is no token in {}: a proxy that is started with --metrics makes it; give \
                 its --config or --data-dir if that is elsewhere",
                shown(path)
            ),
        }
    }
}
