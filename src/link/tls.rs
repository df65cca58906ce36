//! TLS 1.3 with a certificate of one private CA on both sides.

use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, version::TLS13,
};

use super::channel::Channel;
use super::fault::Fault;
use super::security::SetupError;
use crate::config::LinkTls;
use crate::net::tls::provider;
use crate::net::{Rope, Socket};

/// The name in a back's certificate, whatever name its front asks for: the SNI
/// is there for who looks on.
pub const BACK_NAME: &str = "back.smol-mtproxy.internal";

/// Room in the shared buffer for what comes out of one record.
const PLAIN_LEN: usize = 16 * 1024;

/// Slices of the queue that are encrypted together: 64 KiB.
const WRITE_SLICES: usize = 16;

/// What new links of a front or back are made with.
pub(super) enum TlsSetup {
    Front(Arc<ClientConfig>, Option<ServerName<'static>>),
    Back(Arc<ServerConfig>),
}

impl TlsSetup {
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
        Ok(Self::Back(Arc::new(config)))
    }

    pub fn channel(&self, socket: &Socket) -> Result<Channel, Fault> {
        let connection = match self {
            Self::Front(config, sni) => {
                let name = match (sni, socket.peer_address()) {
                    (Some(name), _) => name.clone(),
                    (None, Ok(peer)) => ServerName::from(peer.ip()),
                    (None, Err(error)) => return Err(Fault::Broken(error)),
                };
                ClientConnection::new(config.clone(), name).map(Connection::from)
            }
            Self::Back(config) => ServerConnection::new(config.clone()).map(Connection::from),
        };
        let connection = connection.map_err(|error| Fault::Tls(error.to_string()))?;
        Ok(Channel::Tls(Box::new(TlsChannel(connection))))
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
    fs::read(path).map_err(|error| SetupError::Unreadable(PathBuf::from(path), error))
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

/// One TLS connection.
pub(super) struct TlsChannel(Connection);

impl TlsChannel {
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    ) -> Poll<Result<(), Fault>> {
        let (plain, sealed) = buffer.split_at_mut(PLAIN_LEN.min(buffer.len() / 2));
        let length = match ready!(socket.poll_read(cx, sealed)) {
            // Without close_notify: our protocol has ends of its own.
            Ok(0) => return Poll::Ready(Err(Fault::Closed)),
            Ok(length) => length,
            Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
        };
        let sealed = sealed.get(..length).unwrap_or_default();
        Poll::Ready(self.open(socket, sealed, plain, take))
    }

    fn open(
        &mut self,
        socket: &Socket,
        mut sealed: &[u8],
        plain: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while !sealed.is_empty() {
            // It takes a few KiB at a time.
            let read = self.0.read_tls(&mut sealed);
            read.map_err(|error| Fault::Tls(error.to_string()))?;
            if let Err(error) = self.0.process_new_packets() {
                // The alert tells the other side the reason.
                let _ = self.write_sealed(socket);
                return Err(Fault::Tls(explain(&error)));
            }
            loop {
                match self.0.reader().read(plain) {
                    Ok(0) => return Err(Fault::Closed),
                    Ok(length) => take(plain.get_mut(..length).unwrap_or_default())?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(Fault::Closed),
                }
            }
        }
        Ok(())
    }

    pub fn flush(&mut self, socket: &Socket, out: &mut Rope) -> Result<usize, Fault> {
        let mut taken = 0;
        loop {
            if !self.write_sealed(socket)? || out.is_empty() || self.0.is_handshaking() {
                return Ok(taken);
            }
            let mut slices = heapless::Vec::<IoSlice<'_>, WRITE_SLICES>::new();
            slices.extend(out.slices().take(WRITE_SLICES).map(IoSlice::new));
            let sealed = self.0.writer().write_vectored(&slices);
            let length = sealed.map_err(|error| Fault::Tls(error.to_string()))?;
            drop(slices);
            out.advance(length);
            taken += length;
        }
    }

    /// Whether the kernel took everything.
    fn write_sealed(&mut self, socket: &Socket) -> Result<bool, Fault> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Sealed(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Fault::Broken(error)),
            }
        }
        Ok(true)
    }

    pub fn is_flushed(&self) -> bool {
        !self.0.wants_write()
    }

    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
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

/// A socket as rustls writes to it.
struct Sealed<'a>(&'a Socket);

impl Write for Sealed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.0.try_write(data)? {
            0 if !data.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.0.try_write_vectored(slices)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
