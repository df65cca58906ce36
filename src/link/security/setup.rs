use std::rc::Rc;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Error, ServerConfig, version::TLS13};

use super::back_verifier::BackVerifier;
use super::error::SetupError;
use super::identity::Identity;
use super::papers::{Concern, Papers};
use super::refused::Refused;
use crate::config::LinkTls;
use crate::net::{BufferPool, Socket};
use crate::tls::x509::{self, Fingerprints};
use crate::tls::{self, Batch, Judge, Peer, TlsContext, TlsStream, has_aes, provider};
use crate::wire::link::LinkSide;

/// What new links of a front or back are made with.
pub(super) struct TlsSetup {
    config: TlsConfig,
    batch: Batch,
    judge: Rc<LinkJudge>,
}

/// The part of it that comes from files; another thread may have read them.
pub(super) struct TlsFiles {
    pub(crate) config: TlsConfig,
    pub(crate) judge: LinkJudge,
}

pub(super) enum TlsConfig {
    Front(Arc<ClientConfig>, Option<ServerName<'static>>),
    Back(Arc<ServerConfig>),
}

/// What TLS asks the link: who gets none, and what an error means.
pub(super) struct LinkJudge {
    pub(crate) papers: Papers,
    pub(crate) refused: Refused,
}

impl Judge for LinkJudge {
    fn denies(&self, peer: &Peer) -> Option<String> {
        let name = || peer.name.clone();
        let is_refused = self.refused.has(peer);
        is_refused.then(|| name().unwrap_or_else(|| "a front without a name".to_owned()))
    }

    fn explain(&self, error: &Error) -> String {
        self.papers.explain(error)
    }
}

impl TlsFiles {
    pub(crate) fn read(files: &LinkTls, side: LinkSide) -> Result<Self, SetupError> {
        let identity = Identity::read(files)?;
        let bad_ca = |error: &dyn std::fmt::Display| SetupError::bad(&files.ca, error);
        let backs =
            WebPkiServerVerifier::builder_with_provider(identity.roots.clone(), provider()).build();
        let backs = BackVerifier(backs.map_err(|error| bad_ca(&error))?);
        let fronts =
            WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider()).build();
        let fronts = fronts.map_err(|error| bad_ca(&error))?;
        let papers = Papers::new(files, side, &identity, |own, others, at| match side {
            LinkSide::Front => fronts.verify_client_cert(own, others, at).map(|_| ()),
            LinkSide::Back => backs.verify(own, others, &[], at).map(|_| ()),
        });
        let refused = match &files.refuse {
            Some(path) => Refused::read(path)?,
            None => Refused::default(),
        };
        let config = match side {
            LinkSide::Front => TlsConfig::front(files, identity, backs)?,
            LinkSide::Back => TlsConfig::back(files, identity, fronts)?,
        };
        Ok(Self {
            config,
            judge: LinkJudge { papers, refused },
        })
    }

    /// What is new in the list of refused certificates, in words.
    pub(crate) fn refused_news(&self, running: &TlsSetup) -> Option<String> {
        let (more, fewer) = self.judge.refused.differences(&running.judge.refused);
        let is_new = more + fewer > 0;
        is_new.then(|| format!("list of --link-refuse: {more} more, {fewer} fewer"))
    }
}

impl TlsConfig {
    fn front(files: &LinkTls, identity: Identity, backs: BackVerifier) -> Result<Self, SetupError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| SetupError::bad(&files.ca, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(backs))
            .with_client_auth_cert(identity.chain, identity.key);
        let mut config = config.map_err(|error| misfit(files, &error))?;
        config.alpn_protocols = alpn(files);
        config.enable_sni = files.sni.is_some();
        config.enable_secret_extraction = true;
        let sni = files.sni.as_ref().map(|name| name.as_str().to_owned());
        let sni = sni.and_then(|name| ServerName::try_from(name).ok());
        Ok(Self::Front(Arc::new(config), sni))
    }

    fn back(
        files: &LinkTls,
        identity: Identity,
        fronts: Arc<dyn ClientCertVerifier>,
    ) -> Result<Self, SetupError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| SetupError::bad(&files.ca, error))?
            .with_client_cert_verifier(fronts)
            .with_single_cert(identity.chain, identity.key);
        let mut config = config.map_err(|error| misfit(files, &error))?;
        config.alpn_protocols = alpn(files);
        // A link lasts: there is nothing to resume.
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        // Without instructions for AES the order of this side counts; with them that of
        // the front, which may have none.
        config.ignore_client_order = !has_aes();
        Ok(Self::Back(Arc::new(config)))
    }
}

fn misfit(files: &LinkTls, error: &Error) -> SetupError {
    match error {
        Error::InconsistentKeys(_) => SetupError::bad(
            &files.key,
            format_args!("not the key of {}", files.cert.display()),
        ),
        error => SetupError::bad(&files.key, error),
    }
}

impl TlsSetup {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self {
            config: files.config,
            batch: Batch::default(),
            judge: Rc::new(files.judge),
        }
    }

    /// Begins to shake hands on `socket`.
    pub(crate) fn stream(
        &self,
        socket: &Socket,
        buffers: &Rc<BufferPool>,
    ) -> Result<TlsStream, tls::Error> {
        let context = TlsContext {
            batch: self.batch.clone(),
            buffers: buffers.clone(),
            judge: self.judge.clone(),
        };
        match &self.config {
            TlsConfig::Front(config, sni) => {
                let name = match (sni, socket.peer_address()) {
                    (Some(name), _) => name.clone(),
                    (None, Ok(peer)) => ServerName::from(peer.ip()),
                    (None, Err(error)) => return Err(tls::Error::Broken(error)),
                };
                TlsStream::connect(context, config, name)
            }
            TlsConfig::Back(config) => TlsStream::accept(context, config),
        }
    }

    /// Whether such a certificate gets no link.
    pub(crate) fn refuses(&self, fingerprints: &Fingerprints) -> bool {
        self.judge.refused.holds(fingerprints)
    }

    #[cfg(feature = "check")]
    pub(crate) fn days_left(&self) -> i64 {
        self.judge.papers.days_left(x509::now())
    }

    pub(crate) fn concerns(&self) -> Vec<Concern> {
        self.judge.papers.concerns(x509::now())
    }
}

fn alpn(files: &LinkTls) -> Vec<Vec<u8>> {
    files
        .alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect()
}
