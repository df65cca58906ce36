use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::tls;
use crate::wire::acme_hello::name_asked;
use crate::wire::secret::Domain;

/// What authorities are shown, while they look whether a name leads here.
#[derive(Default)]
pub(crate) struct Challenges(RefCell<Vec<(Domain, Arc<ServerConfig>)>>);

impl Challenges {
    /// For who has said this, if that is an authority and its name is being looked at.
    pub(crate) fn of(&self, received: &[u8]) -> Option<Arc<ServerConfig>> {
        let shown = self.0.borrow();
        if shown.is_empty() {
            return None;
        }
        let name = name_asked(received)?;
        let (_, server) = shown.iter().find(|(host, _)| *host == name)?;
        Some(server.clone())
    }

    /// Until the result is dropped.
    pub(super) fn show(self: &Rc<Self>, host: Domain, server: Arc<ServerConfig>) -> Shown {
        self.0.borrow_mut().push((host, server.clone()));
        Shown {
            challenges: self.clone(),
            server,
        }
    }
}

/// See [`Challenges::show`].
pub(super) struct Shown {
    challenges: Rc<Challenges>,
    server: Arc<ServerConfig>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut shown = self.challenges.0.borrow_mut();
        shown.retain(|(_, server)| !Arc::ptr_eq(server, &self.server));
    }
}

/// The server that proves `digest` for `host`. Blocks: it makes a key.
pub(super) fn server_of(host: &str, digest: &[u8; 32]) -> Result<Arc<ServerConfig>, String> {
    made(host, digest).map_err(|error| format!("no certificate to prove it with: {error}"))
}

fn made(host: &str, digest: &[u8; 32]) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let certified = CertifiedKey::new(
        vec![certificate.der().clone()],
        any_supported_type(&private)?,
    );
    Ok(tls::challenge_server(certified)?)
}
