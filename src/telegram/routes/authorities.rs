//! Whose certificates of web servers are believed, where `--ws-ca` says it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;

use crate::config::{RouteName, TelegramConfig, read_file};
use crate::tls::roots_in;

/// A file of authorities; Mozilla's takes 220 KiB.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// What the file of `--ws-ca` holds.
#[derive(Clone)]
pub(crate) struct Authorities {
    of: PathBuf,
    pub(super) roots: Arc<RootCertStore>,
}

/// Why that file cannot be used.
#[derive(Debug)]
pub(crate) enum AuthoritiesError {
    Unreadable(PathBuf, io::Error),
    Unusable(PathBuf, String),
}

impl Authorities {
    /// Those that `config` names, if a route goes by them. Blocks.
    pub(crate) fn read(config: &TelegramConfig) -> Result<Option<Self>, AuthoritiesError> {
        let path = config.ws.ca.as_deref();
        let web = [RouteName::Ws, RouteName::Zone, RouteName::Worker];
        let path = path.filter(|_| web.iter().any(|route| config.routes.has(*route)));
        path.map(Self::read_from).transpose()
    }

    fn read_from(path: &Path) -> Result<Self, AuthoritiesError> {
        let text = read_file(path, MAX_AUTHORITIES)
            .map_err(|error| AuthoritiesError::Unreadable(path.to_owned(), error))?;
        let roots =
            roots_in(&text).map_err(|why| AuthoritiesError::Unusable(path.to_owned(), why))?;
        Ok(Self {
            of: path.to_owned(),
            roots: Arc::new(roots),
        })
    }

    pub(super) fn is_of(&self, path: &Path) -> bool {
        self.of == path
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots
    }
}

impl fmt::Display for AuthoritiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(
                f,
                "--ws-ca: cannot read {}: {error}; name a file that the user who runs the proxy \
                 may read, or leave --ws-ca out",
                path.display()
            ),
            Self::Unusable(path, cause) => write!(
                f,
                "--ws-ca {}: {cause}; it has to hold certificates as PEM; leave --ws-ca out to \
                 trust Mozilla's authorities",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use fake_telegram::harness::TemporaryDirectory;
    use fake_telegram::web_front::Authority;

    use super::*;

    #[test]
    fn files() {
        let folder = TemporaryDirectory::new();
        let place = folder.path().join("ca.pem");
        let read = |text: &str| {
            std::fs::write(&place, text).unwrap();
            Authorities::read_from(&place).map_err(|error| error.to_string())
        };
        let authority = Authority::new();
        let pem = authority.pem();
        let (one, both) = (read(pem).unwrap(), read(&format!("{pem}{pem}")).unwrap());
        assert!(one.is_same(&one) && !one.is_same(&both));
        let broken = pem.replace("-----END", "-----");
        for text in ["", "authorities", &*broken, &pem.replace('M', "N")] {
            let error = read(text).err().expect("an error");
            assert!(error.starts_with("--ws-ca "), "{error}");
            assert!(error.ends_with("Mozilla's authorities"), "{error}");
        }
        std::fs::remove_file(&place).unwrap();
        let error = Authorities::read_from(&place).err().unwrap();
        assert!(matches!(error, AuthoritiesError::Unreadable(..)), "{error}");
    }
}
