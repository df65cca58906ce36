use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the files that secure links cannot be used.
#[derive(Debug)]
pub(crate) enum SetupError {
    Unreadable(PathBuf, io::Error),
    Unusable(PathBuf, String),
}

impl SetupError {
    pub(super) fn bad(path: &std::path::Path, cause: impl fmt::Display) -> Self {
        Self::Unusable(path.into(), cause.to_string())
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(
                f,
                "cannot read {}: {error}; `smol-mtproxy certs` makes such files, and the user that \
                 runs the proxy must be able to read them",
                path.display()
            ),
            Self::Unusable(path, cause) => write!(
                f,
                "{}: {cause}; is it the right file of `smol-mtproxy certs`?",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SetupError {}
