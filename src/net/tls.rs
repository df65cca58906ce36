//! TLS 1.3 as the link and the fetches speak it: rustls with as much of ring as
//! they need.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, RootCertStore};

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For servers on the internet: any that Mozilla's certificate authorities
/// vouch for.
pub fn public_client() -> Result<Arc<ClientConfig>, Error> {
    let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(RootCertStore { roots })
        .with_no_client_auth();
    Ok(Arc::new(config))
}
