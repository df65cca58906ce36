//! What a web server of ours speaks: TLS 1.3 and 1.2, HTTP/1.1, as browsers meet it
//! everywhere.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::crypto::ring::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
#[cfg(feature = "acme")]
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, Error, ServerConfig};

use super::provider::{WEB_VERSIONS, web_provider};
use super::told::Listener;
#[cfg(feature = "acme")]
use crate::wire::acme_hello::ACME_TLS;

/// As OpenSSL's servers send.
const TICKETS: usize = 2;

/// The only protocol there is: what is offered beside it is not chosen.
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// What makes the tickets by which browsers come again with less of a handshake. Its keys
/// live for six hours and are good for as long again; all configs of a process share it, so
/// that a new certificate does not cost the tickets.
pub(crate) fn tickets() -> Result<Arc<dyn ProducesTickets>, Error> {
    Ticketer::new()
}

/// For a server whose certificates `resolver` chooses.
pub(crate) fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = bare(resolver)?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.send_tls13_tickets = TICKETS;
    config.ticketer = tickets.clone();
    Ok(Arc::new(config))
}

/// For an authority that looks whether the name of `certified` leads here: it speaks
/// nothing, and is not to come again.
#[cfg(feature = "acme")]
pub(crate) fn challenge_server(certified: CertifiedKey) -> Result<Arc<ServerConfig>, Error> {
    let mut config = bare(Arc::new(SingleCertAndKey::from(certified)))?;
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Without protocols and tickets.
fn bare(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(server_provider()))
        .with_protocol_versions(WEB_VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // It would keep sessions of those who take no tickets.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.enable_secret_extraction = true;
    // What the handshake has kept goes.
    config.key_log = Arc::new(Listener);
    Ok(config)
}

/// rustls says access_denied to who gets no certificate, and answers who offers no protocol
/// of ours with a ServerHello first. Other servers say no_application_protocol at once.
pub(super) fn say_as_others(alert: &mut [u8]) {
    // Its record: of two bytes, in the clear.
    if let [21, 3, _, 0, 2, _, number] = alert
        && *number == u8::from(AlertDescription::AccessDenied)
    {
        *number = AlertDescription::NoApplicationProtocol.into();
    }
}

/// The suites of browsers; which of them is for the client to say.
fn server_provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            #[cfg(feature = "ml-kem")]
            super::mlkem::X25519_MLKEM768,
            X25519,
            SECP256R1,
            SECP384R1,
        ],
        ..CryptoProvider::clone(&web_provider())
    }
}

#[cfg(test)]
pub(super) mod tests;
