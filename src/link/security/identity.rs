use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::SetupError;
use crate::config::{LinkTls, read_file};
use crate::tls::x509;

/// Longer than any chain of certificates, in bytes.
pub(in crate::link) const MAX_PEM: u64 = 1 << 20;

/// What the files of --link-ca, --link-cert and --link-key hold.
pub(super) struct Identity {
    pub(crate) roots: Arc<RootCertStore>,
    /// The same, as they are in the file.
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn read(files: &LinkTls) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        let authorities = certificates(&files.ca)?;
        for certificate in &authorities {
            let added = roots.add(certificate.clone());
            added.map_err(|error| SetupError::bad(&files.ca, error))?;
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?);
        Ok(Self {
            roots: Arc::new(roots),
            authorities,
            chain: certificates(&files.cert)?,
            key: key.map_err(|error| SetupError::bad(&files.key, error))?,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(SetupError::bad(path, "no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(SetupError::bad(path, error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    read_file(path, MAX_PEM).map_err(|error| SetupError::Unreadable(PathBuf::from(path), error))
}

/// The last day of the certificate in that file.
pub(super) fn last_day(path: &Path) -> Option<String> {
    let text = read_file(path, MAX_PEM).ok()?;
    let der = CertificateDer::from_pem_slice(&text).ok()?;
    let described = x509::read(&der).ok()?;
    Some(x509::day(described.until))
}
