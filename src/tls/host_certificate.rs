//! The certificate that a host of ours shows, with its key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::sign::{RsaSigningKey, any_ecdsa_type};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, RootCertStore};

use super::provider::SIGNATURES;
use super::x509::{self, FIRST_DAY, days_left};
use crate::config::read_file;

/// Of a file of PEM, in bytes: a chain with everything that a person may have put beside it.
const MAX_PEM: u64 = 64 * 1024;

/// Certificates of a chain. Browsers take no longer ones.
const MAX_CHAIN: usize = 10;

/// It expires in so many days and should have been renewed: those of 90 days are renewed
/// with 30 left, those of 6 days (in days, a third) are left out.
const SOON: i64 = 14;

/// What a host shows. Whoever made the files renews them.
#[derive(Debug)]
pub(crate) struct HostCertificate {
    certified: Arc<CertifiedKey>,
    from: i64,
    until: i64,
}

/// Why there is none in the files.
#[derive(Debug)]
pub(crate) enum CertificateError {
    Read(PathBuf, io::Error),
    /// What is wrong with it, and what to do.
    Bad(PathBuf, String),
    /// The certificate, and a key that is another's.
    Misfit(PathBuf, PathBuf),
}

/// What a person should know of one that is shown all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    OtherName,
    Expired(i64),
    NotYet(i64),
    /// When.
    ExpiresSoon(i64),
    /// Nobody whom browsers know vouches for it: the number of certificates in the file.
    Unknown(usize),
    Refused(String),
}

impl HostCertificate {
    /// Blocks: it reads files.
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            read_file(path, MAX_PEM).map_err(|error| CertificateError::Read(path.into(), error))
        };
        Self::of((chain, &read(chain)?), (key, &read(key)?))
    }

    /// Both of them in one file, which is at `path` or will be.
    #[cfg(feature = "acme")]
    pub(crate) fn of_one(path: &Path, content: &[u8]) -> Result<Self, CertificateError> {
        Self::of((path, content), (path, content))
    }

    /// When two thirds of its life are over, in seconds since 1970.
    #[cfg(feature = "acme")]
    pub(crate) fn renewal(&self) -> i64 {
        self.until - (self.until - self.from) / 3
    }

    /// What stands in each file.
    fn of(
        (chain_path, chain): (&Path, &[u8]),
        (key_path, key): (&Path, &[u8]),
    ) -> Result<Self, CertificateError> {
        let bad = |path: &Path, why: &str| CertificateError::Bad(path.into(), why.to_owned());
        let certificates = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = match certificates {
            Ok(chain) if chain.is_empty() => {
                let why = "no certificate is in it: give the PEM file with the whole chain";
                return Err(bad(chain_path, why));
            }
            Ok(chain) if chain.len() > MAX_CHAIN => {
                let why = format!(
                    "{} certificates are in it: give the file of one chain",
                    chain.len()
                );
                return Err(bad(chain_path, &why));
            }
            Ok(chain) => chain,
            Err(error) => return Err(bad(chain_path, &format!("damaged: {error}"))),
        };
        let own = chain.first().map(|own| x509::read(own));
        let Some(Ok(own)) = own else {
            return Err(bad(chain_path, "its first certificate cannot be read"));
        };
        let private = match PrivateKeyDer::from_pem_slice(key) {
            Ok(private) => private,
            Err(pem::Error::NoItemsFound) => return Err(bad(key_path, no_key(key))),
            Err(error) => return Err(bad(key_path, &format!("damaged: {error}"))),
        };
        let Some(private) = signing_key(&private) else {
            let why = "a key of a kind that browsers do not take: make it ECDSA (P-256 or P-384) \
                       or RSA (2048 to 4096 bits)";
            return Err(bad(key_path, why));
        };
        let certified = CertifiedKey::new(chain, private);
        match certified.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Misfit(chain_path.into(), key_path.into()));
            }
            Err(error) => return Err(bad(chain_path, &error.to_string())),
        }
        Ok(Self {
            certified: Arc::new(certified),
            from: own.from,
            until: own.until,
        })
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// It is the same as `other`, with the same chain.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// Its last second, in seconds since 1970.
    pub(crate) fn until(&self) -> i64 {
        self.until
    }

    /// What may be wrong with it for a browser that asks for `host` at the time `now`, in
    /// seconds since 1970, and knows `roots`. Blocks: it computes.
    pub(crate) fn concerns(&self, host: &str, roots: &RootCertStore, now: i64) -> Vec<Concern> {
        let mut concerns = Vec::new();
        if now >= FIRST_DAY {
            let lifetime = self.until - self.from;
            let soon = (SOON * x509::DAY).min(lifetime / 6);
            if now > self.until {
                concerns.push(Concern::Expired(self.until));
            } else if now < self.from {
                concerns.push(Concern::NotYet(self.from));
            } else if self.until - now < soon {
                concerns.push(Concern::ExpiresSoon(self.until));
            }
        }
        let Some((own, others)) = self.certified.cert.split_first() else {
            return concerns;
        };
        let Ok(own) = ParsedCertificate::try_from(own) else {
            concerns.push(Concern::Refused("it cannot be read".to_owned()));
            return concerns;
        };
        let name = ServerName::try_from(host.to_owned());
        if !name.is_ok_and(|name| verify_server_name(&own, &name).is_ok()) {
            concerns.push(Concern::OtherName);
        }
        // Its dates are another matter.
        let at = now.min(self.until).max(self.from);
        let at = Duration::from_secs(u64::try_from(at).unwrap_or(0));
        let vouched = verify_server_cert_signed_by_trust_anchor(
            &own,
            roots,
            others,
            UnixTime::since_unix_epoch(at),
            SIGNATURES.all,
        );
        match vouched {
            Ok(()) => {}
            Err(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                concerns.push(Concern::Unknown(self.certified.cert.len()));
            }
            Err(error) => {
                // Another certificate's, then.
                let is_said = !concerns.is_empty() && is_of_dates(&error);
                concerns.extend((!is_said).then(|| Concern::Refused(refusal(&error))));
            }
        }
        concerns
    }
}

/// Of the kinds that browsers take. Ed25519, which no authority signs, would be 50 KiB more
/// on MIPS.
fn signing_key(key: &PrivateKeyDer<'_>) -> Option<Arc<dyn SigningKey>> {
    match RsaSigningKey::new(key) {
        Ok(rsa) => Some(Arc::new(rsa)),
        Err(_) => any_ecdsa_type(key).ok(),
    }
}

fn is_of_dates(error: &Error) -> bool {
    use rustls::CertificateError as Of;
    let Error::InvalidCertificate(error) = error else {
        return false;
    };
    matches!(
        error,
        Of::Expired | Of::ExpiredContext { .. } | Of::NotValidYet | Of::NotValidYetContext { .. }
    )
}

/// Why apps refuse a chain, with the way out.
fn refusal(error: &Error) -> String {
    if is_of_dates(error) {
        return "another certificate of its chain is over, or not good yet: give the chain that \
                came with it"
            .to_owned();
    }
    if let Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error
        && let Some(webpki::Error::CaUsedAsEndEntity) = other.0.downcast_ref()
    {
        return "it is an authority's own, as self-made ones are: get one of a public authority, \
                as Let's Encrypt"
            .to_owned();
    }
    format!("{error}: get another one")
}

/// What to do about a file without a key.
fn no_key(content: &[u8]) -> &'static str {
    let is_encrypted = String::from_utf8_lossy(content).contains("ENCRYPTED");
    match is_encrypted {
        true => {
            "its key is encrypted, and nobody is there to give the password: write it in the \
             clear with `openssl pkey -in FILE -out FILE2`"
        }
        false => "no private key is in it: give the PEM file of the certificate's key",
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                let path = path.display();
                write!(f, "cannot read {path}: {error}")?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; let the proxy's user read it and its directories")
                    }
                    io::ErrorKind::NotFound => {
                        f.write_str("; name the file that certbot or the like has written")
                    }
                    _ => Ok(()),
                }
            }
            Self::Bad(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Misfit(chain, key) => {
                let (chain, key) = (chain.display(), key.display());
                write!(
                    f,
                    "{key} is not the key of the first certificate in {chain}: give the key that \
                     it was made with, and that certificate first"
                )
            }
        }
    }
}

impl std::error::Error for CertificateError {}

impl Concern {
    /// In words, of the certificate of `host`.
    pub(crate) fn text(&self, host: &str, now: i64) -> String {
        match self {
            Self::OtherName => {
                format!("it is not for {host}, so apps refuse it: get one for that name")
            }
            Self::Expired(until) => format!(
                "it expired on {}, so apps refuse it: renew it (or set this machine's clock, \
                 if that is wrong)",
                x509::day(*until)
            ),
            Self::NotYet(from) => format!(
                "it is good from {} on, so apps refuse it until then: see that this machine's \
                 clock is right",
                x509::day(*from)
            ),
            Self::ExpiresSoon(until) => format!(
                "it expires in {} days ({}): see why it is not renewed",
                days_left(*until, now),
                x509::day(*until)
            ),
            Self::Unknown(1) => "it stands alone in its file and no authority that browsers know \
                                 has signed it, so apps refuse it: give the file with the whole \
                                 chain (fullchain.pem)"
                .to_owned(),
            Self::Unknown(_) => "no authority that browsers know vouches for its chain, so apps \
                                 refuse it: get one of a public authority, as Let's Encrypt"
                .to_owned(),
            Self::Refused(why) => format!("apps refuse it: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
