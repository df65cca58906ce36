//! TLS as a client of web servers, whoever of them is trusted.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::provider::{SIGNATURES, WEB_VERSIONS, web_provider};
use super::server::HTTP_1_1;
use super::told::Listener;

/// Letters of what is wrong with a server, as far as it is told.
const MAX_WHY: usize = 200;

/// Whose certificate is taken.
pub(crate) trait Trust: fmt::Debug + Send + Sync {
    /// What is shown to a client that asks for `name` at the time `now`.
    fn judge(&self, shown: &Shown<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error>;
}

/// A server's own certificate, and what it shows with it.
pub(crate) struct Shown<'a> {
    own: &'a CertificateDer<'a>,
    others: &'a [CertificateDer<'a>],
    ocsp: &'a [u8],
}

/// Trusts who has a certificate of the name.
#[derive(Clone, Debug)]
pub(crate) struct Named(Arc<WebPkiServerVerifier>);

impl Named {
    /// One of `roots` has to vouch for it.
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let public = WebPkiServerVerifier::builder_with_provider(roots, web_provider()).build();
        let public = public.map_err(|error| Error::General(error.to_string()))?;
        Ok(Self(public))
    }
}

impl Trust for Named {
    fn judge(&self, shown: &Shown<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let Shown { own, others, ocsp } = shown;
        let verified = self.0.verify_server_cert(own, others, name, ocsp, now);
        verified.map(|_| ())
    }
}

/// What such a client's connections are made with. `resumption` keeps its tickets.
pub(crate) fn web_client(
    trust: impl Trust + 'static,
    resumption: Resumption,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(web_provider())
        .with_protocol_versions(WEB_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier(trust)))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.resumption = resumption;
    // A key that is bound to the handshake, with TLS 1.2 too.
    config.require_ems = true;
    // The records behind a handshake of TLS 1.3 are ours.
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(Listener);
    Ok(Arc::new(config))
}

/// What rustls says, in short: it lists all the names of a certificate that anybody may have
/// made.
pub(crate) fn in_short(error: &Error) -> String {
    let mut why = error.to_string();
    if let Some((end, _)) = why.char_indices().nth(MAX_WHY) {
        why.truncate(end);
        why.push_str("...");
    }
    why
}

/// Whatever the certificate: its owner has to have the key.
#[derive(Debug)]
struct Verifier<T>(T);

impl<T: Trust> ServerCertVerifier for Verifier<T> {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown { own, others, ocsp };
        let judged = self.0.judge(&shown, name, now);
        judged.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &SIGNATURES)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn what_is_told_of_a_certificate_has_a_bound() {
        let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("kws2.web.telegram.org").unwrap(),
            presented: vec!["DnsName(\"\u{e9}.example\")".to_owned(); 1000],
        });
        let why = in_short(&error);
        assert!(why.contains("kws2.web.telegram.org") && why.ends_with("..."));
        assert_eq!(why.chars().count(), MAX_WHY + 3);
        let short = Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(in_short(&short), short.to_string());
    }
}
