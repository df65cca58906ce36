//! Who gets a link, and whether others can read it.
//!
//! | File | What |
//! |---|---|
//! | `setup.rs` | the configs of rustls for either side, from the files that flags name |
//! | `identity.rs` | what is in these files |
//! | `papers.rs` | what is wrong with certificates, or soon will be, in words for people |
//! | `refused.rs` | certificates that get no link: `--link-refuse` |
//! | `back_verifier.rs` | checks that a back's certificate is a back's |
//! | `error.rs` | why the files cannot be used |

#[cfg(feature = "tls")]
mod back_verifier;
#[cfg(feature = "tls")]
mod error;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod papers;
#[cfg(feature = "tls")]
mod refused;
#[cfg(feature = "tls")]
mod setup;
#[cfg(all(test, feature = "tls"))]
mod tests;

use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::path::Path;
use std::rc::Rc;

#[cfg(feature = "tls")]
use smol_mtproxy_ciphers::sha256;

use super::channel::Channel;
use super::fault::Fault;
use crate::config::{LinkConfig, LinkKey, Reach};
#[cfg(feature = "tls")]
use crate::config::{LinkTls, read_file};
use crate::net::{BufferPool, Socket};
#[cfg(feature = "tls")]
use crate::tls::x509::Fingerprints;
use crate::wire::link::LinkSide;
#[cfg(feature = "tls")]
use identity::last_day;
#[cfg(feature = "tls")]
use setup::{TlsFiles, TlsSetup};

#[cfg(feature = "tls")]
pub(super) use back_verifier::BACK_NAME;
#[cfg(feature = "tls")]
pub(crate) use error::SetupError;
#[cfg(feature = "tls")]
pub(super) use identity::MAX_PEM;
#[cfg(feature = "tls")]
pub(crate) use papers::Concern;
#[cfg(feature = "tls")]
pub(super) use refused::Refused;

/// Without TLS there are no such files, so nothing can be wrong with them.
#[cfg(not(feature = "tls"))]
pub(crate) type SetupError = std::convert::Infallible;

/// How the two sides of new links know each other: by certificates, by a key,
/// or by both.
pub(crate) struct Security {
    pub(super) key: Option<LinkKey>,
    /// There is no TLS, and nobody has allowed links that others can read.
    never_on_public: bool,
    #[cfg(feature = "tls")]
    tls: Option<TlsSetup>,
    #[cfg(feature = "tls")]
    certificates: Option<Certificates>,
}

/// What the certificates' files held, to tell after a reload whether that is new.
#[cfg(feature = "tls")]
struct Certificates {
    digest: [u8; 32],
    /// The last day of this side's.
    until: Option<String>,
}

#[cfg(feature = "tls")]
impl Certificates {
    fn read(files: &LinkTls) -> Self {
        // A file that cannot be read is reported by who needs what is in it.
        let hash = |path: &Path| sha256(&[&read_file(path, MAX_PEM).unwrap_or_default()]);
        Self {
            digest: sha256(&[&hash(&files.ca), &hash(&files.cert), &hash(&files.key)]),
            until: last_day(&files.cert),
        }
    }
}

/// What the files for a [`Security`] hold. Reading them blocks: another thread does it.
pub(crate) struct SecurityFiles {
    key: Option<LinkKey>,
    never_on_public: bool,
    #[cfg(feature = "tls")]
    tls: Option<TlsFiles>,
    #[cfg(feature = "tls")]
    certificates: Option<Certificates>,
}

impl SecurityFiles {
    /// Reads the files that `config` names; blocks.
    pub(crate) fn read(config: &LinkConfig, side: LinkSide) -> Result<Self, SetupError> {
        #[cfg(feature = "tls")]
        let tls = match &config.tls {
            None => None,
            Some(files) => Some(TlsFiles::read(files, side)?),
        };
        #[cfg(not(feature = "tls"))]
        let _ = side;
        Ok(Self {
            key: config.key.clone(),
            never_on_public: config.tls.is_none() && !config.plain_on_public,
            #[cfg(feature = "tls")]
            certificates: config.tls.as_ref().map(Certificates::read),
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// What these files hold that those of `running` did not, in words.
    pub(crate) fn news(&self, running: &Security) -> Vec<String> {
        let mut news = Vec::new();
        #[cfg(feature = "tls")]
        if let Some(new) = &self.certificates
            && running.certificates.as_ref().map(|old| old.digest) != Some(new.digest)
        {
            let until = new.until.as_deref().unwrap_or("an unknown day");
            news.push(format!("certificates of the link: new, until {until}"));
        }
        #[cfg(feature = "tls")]
        if let (Some(new), Some(old)) = (&self.tls, &running.tls) {
            news.extend(new.refused_news(old));
        }
        if self.key.is_some() && self.key != running.key {
            news.push("key of --link-psk: new".to_owned());
        }
        news
    }
}

impl Security {
    /// Reads the files that `config` names; blocks.
    pub(crate) fn load(config: &LinkConfig, side: LinkSide) -> Result<Self, SetupError> {
        SecurityFiles::read(config, side).map(Self::from)
    }

    /// Whether a link may go there.
    pub(super) fn allows(&self, address: SocketAddr) -> bool {
        !self.never_on_public || Reach::of(address.ip()) == Reach::Ours
    }

    /// Whether such a certificate gets no link.
    #[cfg(feature = "tls")]
    pub(super) fn refuses(&self, fingerprints: Option<Fingerprints>) -> bool {
        let tls = self.tls.as_ref().zip(fingerprints);
        tls.is_some_and(|(tls, fingerprints)| tls.refuses(&fingerprints))
    }

    /// For how many days this side's certificate is good, if it has one.
    #[cfg(all(feature = "tls", feature = "check"))]
    pub(crate) fn days_left(&self) -> Option<i64> {
        self.tls.as_ref().map(TlsSetup::days_left)
    }

    /// What is wrong with this side's certificates at this time.
    #[cfg(feature = "tls")]
    pub(crate) fn concerns(&self) -> Vec<Concern> {
        self.tls.as_ref().map_or_else(Vec::new, TlsSetup::concerns)
    }

    pub(super) fn channel(
        &self,
        socket: &Socket,
        buffers: &Rc<BufferPool>,
    ) -> Result<Channel, Fault> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let stream = tls.stream(socket, buffers)?;
            return Ok(Channel::Tls(Box::new(stream)));
        }
        let _ = (socket, buffers);
        Ok(Channel::Plain)
    }
}

impl From<SecurityFiles> for Security {
    fn from(files: SecurityFiles) -> Self {
        Self {
            key: files.key,
            never_on_public: files.never_on_public,
            #[cfg(feature = "tls")]
            tls: files.tls.map(TlsSetup::new),
            #[cfg(feature = "tls")]
            certificates: files.certificates,
        }
    }
}
