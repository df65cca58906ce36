//! Certificates as people see them, and whether they are revoked.

use std::fs;
use std::path::Path;

use smol_mtproxy_ciphers::sha256;

use super::error::CertsError;
use super::files::read_certificate;
use crate::link::security::Refused;
use crate::tls::x509::{self, Fingerprints, day};

/// The list of `certs revoke`, beside the certificates.
pub(super) const REFUSED: &str = "refused.txt";

/// A certificate as `certs show` lists it.
pub(crate) struct Shown {
    pub(crate) file: String,
    pub(crate) name: String,
    /// Of its last day, as 2036-01-31.
    pub(crate) expires: String,
    /// In seconds since 1970.
    pub(super) ends: i64,
    pub(crate) is_expired: bool,
    /// It is in the list of `certs revoke`.
    pub(crate) is_refused: bool,
    /// SHA-256 of the certificate, in hex.
    pub(crate) fingerprint: String,
    pub(super) fingerprints: Option<Fingerprints>,
}

/// The certificates in `directory`, by file name.
pub(crate) fn show(directory: &Path) -> Result<Vec<Shown>, CertsError> {
    let unreadable = |error| CertsError::Read(directory.into(), error);
    let mut shown = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let mut one = describe(&path)?;
            one.is_refused = is_refused(directory, &one)?;
            shown.push(one);
        }
    }
    if shown.is_empty() {
        return Err(CertsError::NoCa(directory.into()));
    }
    shown.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(shown)
}

pub(super) fn describe(path: &Path) -> Result<Shown, CertsError> {
    let der = read_certificate(path)?;
    let described = x509::read(&der)
        .map_err(|error| CertsError::Damaged(path.into(), format!("no certificate: {error}")))?;
    Ok(Shown {
        file: path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        name: described.name.unwrap_or_else(|| "no name".to_owned()),
        expires: day(described.until),
        ends: described.until,
        is_refused: false,
        is_expired: described.until < x509::now(),
        fingerprint: base16ct::lower::encode_string(&sha256(&[&der])),
        fingerprints: Fingerprints::of(&der),
    })
}

/// Whether the list beside the certificates has it.
pub(super) fn is_refused(directory: &Path, shown: &Shown) -> Result<bool, CertsError> {
    let path = directory.join(REFUSED);
    if !path.exists() {
        return Ok(false);
    }
    let refused = Refused::read(&path);
    let refused = refused.map_err(|error| CertsError::List(error.to_string()))?;
    let mut known = shown.fingerprints.iter();
    Ok(known.any(|fingerprints| refused.holds(fingerprints)))
}
