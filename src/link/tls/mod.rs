//! TLS 1.3 with a certificate of one private CA on both sides.
//!
//! rustls shakes hands (`shaking`) and makes the keys (`schedule`); the records
//! behind the handshake are sealed (`sealer`) and opened (`opener`) in the shared
//! buffers, so that a byte is copied once each way and not four times.

mod channel;
mod opener;
mod record;
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
use rustls::server::{UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    version::TLS13,
};

use super::channel::Channel;
use super::fault::Fault;
use super::security::SetupError;
use crate::config::{LinkTls, read_file};
use crate::net::tls::{has_aes, provider};
use crate::net::{BufferPool, Socket};
use sealer::Batch;
use shaking::Side;

pub(super) use channel::TlsChannel;
pub(super) use record::MAX_RECORD;
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
}

/// The part of it that comes from files; another thread may have read them.
pub(super) enum TlsSide {
    Front(Arc<ClientConfig>, Option<ServerName<'static>>),
    Back(Arc<ServerConfig>),
}

impl TlsSide {
    pub fn front(files: &LinkTls) -> Result<Self, SetupError> {
        let identity = Identity::read(files)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(identity.roots, provider())
            .build()
            .map_err(|error| SetupError::bad(&files.ca, error))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| SetupError::bad(&files.ca, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(BackVerifier(verifier)))
            .with_client_auth_cert(identity.chain, identity.key);
        let mut config = config.map_err(|error| SetupError::bad(&files.key, error))?;
        config.alpn_protocols = alpn(files);
        config.enable_sni = files.sni.is_some();
        config.enable_secret_extraction = true;
        let sni = files.sni.as_ref().map(|name| name.as_str().to_owned());
        let sni = sni.and_then(|name| ServerName::try_from(name).ok());
        Ok(Self::Front(Arc::new(config), sni))
    }

    pub fn back(files: &LinkTls) -> Result<Self, SetupError> {
        let identity = Identity::read(files)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots, provider())
            .build()
            .map_err(|error| SetupError::bad(&files.ca, error))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| SetupError::bad(&files.ca, error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain, identity.key);
        let mut config = config.map_err(|error| SetupError::bad(&files.key, error))?;
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

impl TlsSetup {
    pub fn new(side: TlsSide) -> Self {
        Self {
            side,
            batch: sealer::new_batch(),
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
        let channel = TlsChannel::new(side, self.batch.clone(), buffers)?;
        Ok(Channel::Tls(Box::new(channel)))
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
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn read(files: &LinkTls) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| SetupError::bad(&files.ca, error))?;
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?);
        Ok(Self {
            roots: Arc::new(roots),
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

impl ServerCertVerifier for BackVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = ServerName::try_from(BACK_NAME);
        let name = name.map_err(|error| Error::General(error.to_string()))?;
        self.0
            .verify_server_cert(end_entity, intermediates, &name, ocsp, now)
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

/// Why, and what to do about it.
fn explain(error: &Error) -> String {
    use rustls::{AlertDescription, CertificateError};
    let way_out = match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the other side's certificate has expired: make a new one with `certs add-node`",
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "is a clock wrong?",
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "the other side's certificate is of another CA: both need the same ca.pem",
        Error::InvalidCertificate(_) => {
            "is that certificate one of `certs init` or `certs add-node`?"
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "this side's certificate has expired: make a new one with `certs add-node`"
        }
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "this side's certificate is of another CA: both need the same ca.pem"
        }
        Error::NoCertificatesPresented => "the other side shows no certificate",
        Error::InvalidMessage(_) => "is the other side a link with TLS?",
        Error::NoApplicationProtocol
        | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the two sides have no protocol of --link-alpn in common"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {way_out}")
}
