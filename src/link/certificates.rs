//! The private CA of a link, and the certificates of its ends, as files.

mod node_key;
mod renewal;

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use smol_mtproxy_ciphers::sha256;

use super::security::{BACK_NAME, LONGEST_PEM};
use crate::clock::unix_now;
use crate::config::{give_to_owner_of_directory, read_text};
use crate::tls::x509::{self, Fingerprints, day};
use node_key::NodeKey;
use renewal::{REFUSED, REFUSED_HEAD};

pub use renewal::{Done, renew, revoke};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_DAYS: u32 = 20 * 365;
const NODE_DAYS: u32 = 10 * 365;

/// Machines without a clock of their own are behind at first.
const BACKDATED: Duration = Duration::from_secs(30 * 24 * 3600);

const LONGEST_NAME: usize = 40;

/// Why no certificate was made.
#[derive(Debug)]
pub enum CertsError {
    BadName(String),
    BadDays,
    Exists(PathBuf),
    NoCa(PathBuf),
    Read(PathBuf, io::Error),
    Write(PathBuf, io::Error),
    Damaged(PathBuf, String),
    /// A certificate that is to be there, and whose.
    NoNode(PathBuf, String),
    NoKey(PathBuf),
    RenewCa,
    IsRefused(String),
    /// The list of refused certificates.
    List(String),
    Crypto(String),
}

/// A certificate as `certs show` lists it.
pub struct Shown {
    pub file: String,
    pub name: String,
    /// Of its last day, as 2036-01-31.
    pub expires: String,
    /// In seconds since 1970.
    ends: i64,
    pub is_expired: bool,
    /// It is in the list of `certs revoke`.
    pub is_refused: bool,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    fingerprints: Option<Fingerprints>,
}

/// Makes a CA and the back's certificate in `directory`; the files made.
pub fn init(directory: &Path) -> Result<Vec<PathBuf>, CertsError> {
    let made = [
        "ca.pem",
        "ca.key",
        "back.pem",
        "back.key",
        REFUSED,
        "link.back.conf",
    ];
    refuse_existing(directory, &made)?;
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(directory);
    created.map_err(|error| CertsError::Write(directory.into(), error))?;
    let issuer = Issuer::new(ca_params(), NodeKey::generate()?);
    let ca = ca_certificate(&issuer)?;
    write(directory, "ca.key", 0o600, &issuer.key().pem())?;
    write(directory, "ca.pem", 0o644, &ca.pem())?;
    node(directory, "back", NODE_DAYS, &issuer)?;
    write(directory, REFUSED, 0o644, REFUSED_HEAD)?;
    write(directory, "link.back.conf", 0o600, BACK_CONF)?;
    Ok(made.iter().map(|name| directory.join(name)).collect())
}

/// Makes a certificate for the front `name`, good for `days`; the files made.
pub fn add_node(
    directory: &Path,
    name: &str,
    days: Option<u32>,
) -> Result<Vec<PathBuf>, CertsError> {
    check_name(name)?;
    check_days(days)?;
    let made = [
        format!("{name}.pem"),
        format!("{name}.key"),
        format!("link.{name}.conf"),
    ];
    if !directory.join("ca.pem").exists() {
        return Err(CertsError::NoCa(directory.into()));
    }
    refuse_existing(directory, &made.each_ref().map(String::as_str))?;
    let issuer = issuer(directory)?;
    node(directory, name, days.unwrap_or(NODE_DAYS), &issuer)?;
    let conf = FRONT_CONF.replace("NAME", name);
    write(directory, &format!("link.{name}.conf"), 0o600, &conf)?;
    Ok(made.iter().map(|name| directory.join(name)).collect())
}

/// The CA of `directory`, with which certificates are made.
fn issuer(directory: &Path) -> Result<Issuer<'static, NodeKey>, CertsError> {
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

/// The certificates in `directory`, by file name.
pub fn show(directory: &Path) -> Result<Vec<Shown>, CertsError> {
    let unreadable = |error| CertsError::Read(directory.into(), error);
    let mut shown = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let mut one = describe(&path)?;
            one.is_refused = renewal::is_refused(directory, &one)?;
            shown.push(one);
        }
    }
    if shown.is_empty() {
        return Err(CertsError::NoCa(directory.into()));
    }
    shown.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(shown)
}

fn describe(path: &Path) -> Result<Shown, CertsError> {
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

fn check_days(days: Option<u32>) -> Result<(), CertsError> {
    match days.is_some_and(|days| days > CA_DAYS) {
        true => Err(CertsError::BadDays),
        false => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), CertsError> {
    let is_fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_taken = ["ca", "back"].contains(&name);
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || name.starts_with('-')
        || !name.bytes().all(is_fine)
        || is_taken
    {
        return Err(CertsError::BadName(name.to_owned()));
    }
    Ok(())
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
fn ca_params() -> CertificateParams {
    let mut params = params("smol-mtproxy link CA", CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// As `self_signed` would make it, which is code of its own.
fn ca_certificate(issuer: &Issuer<'_, NodeKey>) -> Result<Certificate, CertsError> {
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

fn node(
    directory: &Path,
    name: &str,
    days: u32,
    issuer: &Issuer<'_, NodeKey>,
) -> Result<(), CertsError> {
    let key = NodeKey::generate()?;
    let certificate = certificate(name, days, &key, issuer)?;
    write(directory, &format!("{name}.key"), 0o600, &key.pem())?;
    write(directory, &format!("{name}.pem"), 0o644, &certificate.pem())
}

/// Of the back or the front `name`.
fn certificate(
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

fn refuse_existing(directory: &Path, names: &[&str]) -> Result<(), CertsError> {
    let mut paths = names.iter().map(|name| directory.join(name));
    match paths.find(|path| path.exists()) {
        Some(path) => Err(CertsError::Exists(path)),
        None => Ok(()),
    }
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, CertsError> {
    let der = CertificateDer::from_pem_slice(read(path)?.as_bytes());
    der.map_err(|error| CertsError::Damaged(path.into(), error.to_string()))
}

fn read(path: &Path) -> Result<String, CertsError> {
    read_text(path, LONGEST_PEM).map_err(|error| CertsError::Read(path.into(), error))
}

fn write(directory: &Path, name: &str, mode: u32, text: &str) -> Result<(), CertsError> {
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(&path);
    let written = file.and_then(|mut file| {
        give_to_owner_of_directory(&path, &file);
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| CertsError::Write(path, error))
}

impl From<rcgen::Error> for CertsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl fmt::Display for CertsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => write!(
                f,
                "`{name}` cannot be a front's name: take 1 to {LONGEST_NAME} of a-z, 0-9 and -, \
                 other than ca and back"
            ),
            Self::BadDays => write!(
                f,
                "--days goes up to {CA_DAYS}, as long as the CA is good for"
            ),
            Self::Exists(path) => write!(
                f,
                "{} is there already and stays as it is; take another directory or name, or move \
                 it away first",
                path.display()
            ),
            Self::NoCa(path) => write!(
                f,
                "there is no CA in {}; make one with `smol-mtproxy certs init {}`",
                path.display(),
                path.display()
            ),
            Self::Read(path, error) => write!(
                f,
                "cannot read {}: {error}; {}",
                path.display(),
                match error.kind() {
                    io::ErrorKind::NotFound => "name the directory of `smol-mtproxy certs init`",
                    _ => "run this as the user that made it",
                }
            ),
            Self::Write(path, error) => write!(
                f,
                "cannot write {}: {error}; take a directory that you may write to",
                path.display()
            ),
            Self::Damaged(path, cause) => write!(
                f,
                "{}: {cause}; restore it, or start over with `certs init` in an empty directory",
                path.display()
            ),
            Self::NoNode(path, name) => write!(
                f,
                "{} is not there; `certs show` lists what is, and `certs add-node` makes a first \
                 certificate for {name}",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{} is not there: put it back for as long as this takes, or give --new-key and \
                 copy the new one, too",
                path.display()
            ),
            Self::RenewCa => f.write_str(
                "a CA is not renewed: make another one with `certs init` in an empty directory, \
                 put both into the ca.pem of all ends and reload them, then give them certificates \
                 of the new one",
            ),
            Self::IsRefused(name) => write!(
                f,
                "{name} is revoked: give --new-key, so that who has its old key stays out"
            ),
            Self::List(cause) => f.write_str(cause),
            Self::Crypto(cause) => write!(f, "no certificate could be made: {cause}"),
        }
    }
}

impl std::error::Error for CertsError {}

const BACK_CONF: &str = "\
# The back: the half of the proxy that talks to Telegram. Keep this file, ca.pem,
# back.pem, back.key and refused.txt in one directory, and ca.key in a safe place. Start with
#   smol-mtproxy run --config link.back.conf
--role back

# Where fronts connect to; let only their addresses through the firewall.
--link-listen :443

--link-ca ca.pem
--link-cert back.pem
--link-key back.key
# Fronts that may no longer: `smol-mtproxy certs revoke DIR NAME` adds to it.
--link-refuse refused.txt

# Needed behind NAT when clients have an ad tag.
#--external-ip 192.0.2.1
#--metrics 127.0.0.1:9090
";

const FRONT_CONF: &str = "\
# The front NAME: the half of the proxy that takes clients. Copy this file,
# ca.pem, NAME.pem and NAME.key to it, into one directory. Start with
#   smol-mtproxy run --config link.NAME.conf

# To be edited: the address or the name of the back.
--link <BACK-ADDRESS>:443

--role front
--link-ca ca.pem
--link-cert NAME.pem
--link-key NAME.key

# The site that this connection seems to go to.
#--link-sni www.example.com

# Where clients connect. A secret is made at the first start; see the links with
#   smol-mtproxy link --config link.NAME.conf
--listen :443
#--secret alice=ee0123456789abcdef0123456789abcdef7777772e6578616d706c652e636f6d
#--tls-domain www.example.com
#--link-name proxy.example.com
#--tag 00000000000000000000000000000000
#--metrics 127.0.0.1:9090
";
