//! The CA, and the certificates that it makes.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::error::CertsError;
use super::files::read;
use super::node_key::NodeKey;
use crate::clock::unix_now;
use crate::link::security::BACK_NAME;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_DAYS: u32 = 20 * 365;
pub(super) const NODE_DAYS: u32 = 10 * 365;

/// Machines without a clock of their own are behind at first.
const BACKDATED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Letters of a front's name.
const MAX_NAME: usize = 40;

pub(super) fn check_days(days: Option<u32>) -> Result<(), CertsError> {
    match days.is_some_and(|days| days > CA_DAYS) {
        true => Err(CertsError::BadDays(CA_DAYS)),
        false => Ok(()),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), CertsError> {
    let is_fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_taken = ["ca", "back"].contains(&name);
    if name.is_empty()
        || name.len() > MAX_NAME
        || name.starts_with('-')
        || !name.bytes().all(is_fine)
        || is_taken
    {
        return Err(CertsError::BadName(name.to_owned(), MAX_NAME));
    }
    Ok(())
}

/// The CA of `directory`, with which certificates are made.
pub(super) fn issuer(directory: &Path) -> Result<Issuer<'static, NodeKey>, CertsError> {
    let ca = directory.join("ca.pem");
    if !ca.exists() {
        return Err(CertsError::NoCa(directory.into()));
    }
    let key_path = directory.join("ca.key");
    let key = NodeKey::from_pem(&read(&key_path)?)
        .map_err(|error| CertsError::Damaged(key_path, error))?;
    let issuer = Issuer::new(ca_params(), key);
    let damaged = |error: String| CertsError::Damaged(ca.clone(), error);
    let ours = anchor(ca_certificate(&issuer)?.into()).map_err(damaged)?;
    // Beside that of another CA, while one takes the other's place.
    let text = read(&ca)?;
    let mut kept = CertificateDer::pem_slice_iter(text.as_bytes()).flatten();
    match kept.any(|one| anchor(one).is_ok_and(|kept| kept == ours)) {
        true => Ok(issuer),
        false => Err(damaged("not what `certs init` made with ca.key".to_owned())),
    }
}

fn params(name: &str, days: u32) -> CertificateParams {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_now());
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - BACKDATED;
    params.not_after = now + DAY * days;
    params
}

/// Always the same but for the dates, so that the key alone makes an issuer.
pub(super) fn ca_params() -> CertificateParams {
    let mut params = params("smol-mtproxy link CA", CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// As `self_signed` would make it, which is code of its own.
pub(super) fn ca_certificate(issuer: &Issuer<'_, NodeKey>) -> Result<Certificate, CertsError> {
    Ok(ca_params().signed_by(issuer.key(), issuer)?)
}

/// The name and the key that a CA vouches with.
fn anchor(ca: CertificateDer<'_>) -> Result<Vec<TrustAnchor<'static>>, String> {
    let mut store = RootCertStore::empty();
    store
        .add(ca.into_owned())
        .map_err(|error| error.to_string())?;
    Ok(store.roots)
}

/// Of the back or the front `name`.
pub(super) fn certificate(
    name: &str,
    days: u32,
    key: &NodeKey,
    issuer: &Issuer<'_, NodeKey>,
) -> Result<Certificate, CertsError> {
    let (full_name, usage) = match name {
        "back" => (BACK_NAME.to_owned(), ExtendedKeyUsagePurpose::ServerAuth),
        _ => (
            format!("{name}.front.smol-mtproxy.internal"),
            ExtendedKeyUsagePurpose::ClientAuth,
        ),
    };
    let mut params = params(name, days);
    params.subject_alt_names = CertificateParams::new([full_name])?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, issuer)?)
}
