//! TLS 1.3 with a certificate of one private CA on both sides.
//!
//! rustls shakes hands (`shaking`) and makes the keys (`schedule`); the records
//! behind the handshake are sealed (`sealer`) and opened (`opener`) in the shared
//! buffers, so that a byte is copied once each way and not four times.

mod channel;
mod opener;
mod papers;
pub(super) mod record;
mod refused;
mod schedule;
mod sealer;
mod shaking;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    version::TLS13,
};

use super::channel::Channel;
use super::fault::Fault;
use super::security::{Concern, SetupError};
use super::x509::{self, Fingerprints};
use crate::config::{LinkTls, read_file};
use crate::net::{BufferPool, Socket};
use crate::tls::{has_aes, provider};
use crate::wire::link::Role;
use papers::Papers;
use sealer::Batch;
use shaking::Side;

pub(super) use channel::TlsChannel;
pub(super) use record::MAX_RECORD;
pub(super) use refused::Refused;
pub(super) use sealer::Sealer;

/// The name in a back's certificate, whatever name its front asks for: the SNI
/// is there for who looks on.
pub const BACK_NAME: &str = "back.smol-mtproxy.internal";

/// Longer than any chain of certificates, in bytes.
pub(super) const LONGEST_PEM: u64 = 1 << 20;

/// What new links of a front or back are made with.
pub(super) struct TlsSetup {
    side: TlsSide,
    batch: Batch,
    papers: Arc<Papers>,
    refused: Arc<Refused>,
}

/// The part of it that comes from files; another thread may have read them.
pub(super) struct TlsFiles {
    side: TlsSide,
    papers: Arc<Papers>,
    refused: Arc<Refused>,
}

enum TlsSide {
    Front(Arc<ClientConfig>, Option<ServerName<'static>>),
    Back(Arc<ServerConfig>),
}

/// Whose certificate the other side has shown.
pub(super) struct Peer {
    /// Its common name.
    name: Option<String>,
    /// `None` if it cannot be read.
    fingerprints: Option<Fingerprints>,
}

impl Peer {
    fn shown_name(&self) -> String {
        let name = self.name.clone();
        name.unwrap_or_else(|| "a front without a name".to_owned())
    }
}

impl TlsFiles {
    pub fn read(files: &LinkTls, role: Role) -> Result<Self, SetupError> {
        let identity = Identity::read(files)?;
        let bad_ca = |error: &dyn std::fmt::Display| SetupError::bad(&files.ca, error);
        let backs =
            WebPkiServerVerifier::builder_with_provider(identity.roots.clone(), provider()).build();
        let backs = BackVerifier(backs.map_err(|error| bad_ca(&error))?);
        let fronts =
            WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider()).build();
        let fronts = fronts.map_err(|error| bad_ca(&error))?;
        let papers = Papers::new(files, role, &identity, |own, others, at| match role {
            Role::Front => fronts.verify_client_cert(own, others, at).map(|_| ()),
            Role::Back => backs.verify(own, others, &[], at).map(|_| ()),
        });
        let refused = match &files.refuse {
            Some(path) => Refused::read(path)?,
            None => Refused::default(),
        };
        let side = match role {
            Role::Front => TlsSide::front(files, identity, backs)?,
            Role::Back => TlsSide::back(files, identity, fronts)?,
        };
        Ok(Self {
            side,
            papers: Arc::new(papers),
            refused: Arc::new(refused),
        })
    }
}

impl TlsSide {
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
        // The side without instructions for AES has its way, be it this one or,
        // by the order that it asks in, the front.
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

impl TlsFiles {
    /// How the list of refused certificates is another one, in words.
    pub fn refused_news(&self, running: &TlsSetup) -> Option<String> {
        let (more, fewer) = self.refused.differences(&running.refused);
        let is_new = more + fewer > 0;
        is_new.then(|| format!("list of --link-refuse: {more} more, {fewer} fewer"))
    }
}

impl TlsSetup {
    pub fn new(files: TlsFiles) -> Self {
        Self {
            side: files.side,
            batch: sealer::new_batch(),
            papers: files.papers,
            refused: files.refused,
        }
    }

    pub fn channel(&self, socket: &Socket, buffers: &Rc<BufferPool>) -> Result<Channel, Fault> {
        let side = match &self.side {
            TlsSide::Front(config, sni) => {
                let name = match (sni, socket.peer_address()) {
                    (Some(name), _) => name.clone(),
                    (None, Ok(peer)) => ServerName::from(peer.ip()),
                    (None, Err(error)) => return Err(Fault::Broken(error)),
                };
                UnbufferedClientConnection::new(config.clone(), name).map(Side::Front)
            }
            TlsSide::Back(config) => {
                UnbufferedServerConnection::new(config.clone()).map(Side::Back)
            }
        };
        let side = side.map_err(Fault::tls)?;
        let channel = TlsChannel::new(side, self, buffers)?;
        Ok(Channel::Tls(Box::new(channel)))
    }

    /// Whether such a certificate gets no link.
    pub fn refuses(&self, fingerprints: &Fingerprints) -> bool {
        self.refused.holds(fingerprints)
    }

    pub fn concerns(&self) -> Vec<Concern> {
        self.papers.concerns(x509::now())
    }
}

fn alpn(files: &LinkTls) -> Vec<Vec<u8>> {
    files
        .alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect()
}

struct Identity {
    roots: Arc<RootCertStore>,
    /// The same, as they are in the file.
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn read(files: &LinkTls) -> Result<Self, SetupError> {
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
    read_file(path, LONGEST_PEM).map_err(|error| SetupError::Unreadable(PathBuf::from(path), error))
}

/// Checks a back's certificate against [`BACK_NAME`] instead of the SNI, so
/// that a front's certificate cannot pass for a back's.
#[derive(Debug)]
struct BackVerifier(Arc<WebPkiServerVerifier>);

impl BackVerifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = ServerName::try_from(BACK_NAME);
        let name = name.map_err(|error| Error::General(error.to_string()))?;
        self.0
            .verify_server_cert(end_entity, intermediates, &name, ocsp, now)
    }
}

impl ServerCertVerifier for BackVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
