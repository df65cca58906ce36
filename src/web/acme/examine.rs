use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{AcmeConfig, DataDir, WebConfig, read_file};
use crate::tls::public_roots;

/// A file of authorities; Mozilla's takes 220 KiB.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// Why a config cannot have certificates by ACME.
#[derive(Debug)]
pub(crate) enum AcmeError {
    /// The directory, which a boot empties.
    InMemory(PathBuf),
    Unreadable(PathBuf, io::Error),
    Unusable(PathBuf, String),
}

impl AcmeError {
    /// A file could not be read.
    pub(crate) fn unread(&self) -> Option<&io::Error> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::InMemory(_) | Self::Unusable(..) => None,
        }
    }
}

/// What a start with this config would warn of, or why it fails. Blocks.
pub(crate) fn examine(config: &WebConfig, data_dir: &Path) -> Result<Vec<String>, AcmeError> {
    let Some(acme) = config.acme.as_ref().filter(|_| config.gets_certificates()) else {
        return Ok(Vec::new());
    };
    // It may be yet to come.
    let there = data_dir.ancestors().find(|path| path.exists());
    if there.is_some_and(|path| DataDir::new(path).is_in_memory()) {
        return Err(AcmeError::InMemory(data_dir.to_owned()));
    }
    roots(acme)?;
    let staging = "--web-acme: staging gives certificates for trials, which browsers and apps \
                   refuse; leave it out once one is there";
    let warnings = acme.is_staging().then(|| staging.to_owned());
    Ok(warnings.into_iter().collect())
}

/// Who may vouch for the authority's HTTPS. Blocks.
pub(super) fn roots(acme: &AcmeConfig) -> Result<Arc<RootCertStore>, AcmeError> {
    let Some(path) = &acme.ca else {
        return Ok(public_roots());
    };
    let bad = |cause: &dyn fmt::Display| AcmeError::Unusable(path.clone(), cause.to_string());
    let text = read_file(path, MAX_AUTHORITIES)
        .map_err(|error| AcmeError::Unreadable(path.clone(), error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    match roots.is_empty() {
        true => Err(bad(&"no certificate is in it")),
        false => Ok(Arc::new(roots)),
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InMemory(path) => write!(
                f,
                "--web-acme: --data-dir {} is in memory, so that a certificate would be asked for \
                 at each boot, which authorities soon refuse; give a directory on a disk",
                path.display()
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "--web-acme: cannot read {}: {error}; name a file that the user who runs the \
                 proxy may read, or leave ca= out",
                path.display()
            ),
            Self::Unusable(path, cause) => write!(
                f,
                "--web-acme: {}: {cause}; ca= has to hold certificates as PEM",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AcmeError {}

#[cfg(test)]
mod tests {
    use std::fs;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;
    use crate::config::Config;

    fn web(acme: &str) -> WebConfig {
        Config::of(&[
            ("--web", "a.example"),
            ("--web-acme", acme),
            ("--web-site", "/srv/www"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ])
        .web
    }

    #[test]
    fn what_a_boot_would_take_away_is_refused() {
        let web = web("me@example.com");
        let shm = Path::new("/dev/shm/not yet there");
        if DataDir::new(Path::new("/dev/shm")).is_in_memory() {
            let error = examine(&web, shm).unwrap_err().to_string();
            assert!(error.contains("is in memory"), "{error}");
        }
        assert!(examine(&WebConfig::default(), shm).unwrap().is_empty());
    }

    #[test]
    fn who_vouches_is_read_and_staging_is_warned_of() {
        let folder = TemporaryDirectory::new();
        let place = folder.path().join("ca.pem");
        let acme = |more: &str| web(&format!("me@example.com,{more}"));
        let said = |more: &str| examine(&acme(more), folder.path());
        if DataDir::new(folder.path()).is_in_memory() {
            return;
        }
        assert_eq!(said("staging").unwrap().len(), 1);
        let ca = format!("ca={}", place.display());
        let error = said(&ca).unwrap_err();
        assert!(error.unread().is_some(), "{error}");
        fs::write(&place, "nothing").unwrap();
        let error = said(&ca).unwrap_err().to_string();
        assert!(error.contains("no certificate is in it"), "{error}");
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        fs::write(&place, made.cert.pem()).unwrap();
        assert!(said(&ca).unwrap().is_empty());
    }
}
