//! Which web servers are taken for what they say they are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::web_tickets::WebTickets;
use crate::tls::{Judge, Listener, Peer, WEB_VERSIONS, web_provider};

/// One of these is in the certificate that Telegram's front shows whatever name it is
/// asked for.
const TELEGRAMS: [&str; 2] = ["telegram.org", "kws2.web.telegram.org"];

/// Letters of what is wrong with a server, as far as it is told.
const MAX_WHY: usize = 200;

/// Whom to trust.
pub(crate) struct WebTrust {
    /// For who has a certificate of the name asked for.
    named: Arc<ClientConfig>,
    /// For who has one of Telegram's.
    fronted: Arc<ClientConfig>,
    pub(super) judge: Rc<WebJudge>,
}

impl WebTrust {
    /// Servers that one of `roots` vouches for.
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let public = WebPkiServerVerifier::builder_with_provider(roots, web_provider()).build();
        let public = public.map_err(|error| Error::General(error.to_string()))?;
        let fronted = Arc::new(Fronted(public.clone()));
        Ok(Self {
            named: config(public)?,
            fronted: config(fronted)?,
            judge: Rc::default(),
        })
    }

    pub(super) fn config(&self, is_fronted: bool) -> &Arc<ClientConfig> {
        match is_fronted {
            true => &self.fronted,
            false => &self.named,
        }
    }
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(web_provider())
        .with_protocol_versions(WEB_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(WebTickets::default()));
    // A key that is bound to the handshake, with TLS 1.2 too.
    config.require_ems = true;
    // The records behind a handshake of TLS 1.3 are ours.
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(Listener);
    Ok(Arc::new(config))
}

/// Remembers what an error was about.
#[derive(Default)]
pub(crate) struct WebJudge {
    is_certificate: Cell<bool>,
}

impl WebJudge {
    /// Whether the error that was explained last is one of the certificate.
    pub(super) fn saw_bad_certificate(&self) -> bool {
        self.is_certificate.get()
    }
}

impl Judge for WebJudge {
    fn denies(&self, _: &Peer) -> Option<String> {
        None
    }

    fn explain(&self, error: &Error) -> String {
        let is_certificate = matches!(error, Error::InvalidCertificate(_));
        self.is_certificate.set(is_certificate);
        // It lists all the names of a certificate that anybody may have made.
        let mut why = error.to_string();
        if let Some((end, _)) = why.char_indices().nth(MAX_WHY) {
            why.truncate(end);
            why.push_str("...");
        }
        why
    }
}

/// Takes a certificate of Telegram's whatever name was asked for.
#[derive(Debug)]
struct Fronted(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Fronted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut verified = Err(Error::General("no name".to_owned()));
        for name in TELEGRAMS {
            let name = ServerName::try_from(name).map_err(|_| Error::General(name.to_owned()))?;
            verified = self
                .0
                .verify_server_cert(end_entity, intermediates, &name, ocsp, now);
            if verified.is_ok() {
                break;
            }
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn what_is_told_of_a_certificate_has_a_bound() {
        let judge = WebJudge::default();
        let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("kws2.web.telegram.org").unwrap(),
            presented: vec!["DnsName(\"é.example\")".to_owned(); 1000],
        });
        let why = judge.explain(&error);
        assert!(why.contains("kws2.web.telegram.org") && why.ends_with("..."));
        assert_eq!(why.chars().count(), MAX_WHY + 3);
        assert!(judge.saw_bad_certificate());
        let short = Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(judge.explain(&short), short.to_string());
    }
}
