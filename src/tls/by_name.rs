//! Which certificate a hello gets.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::server::HTTP_1_1;

/// The certificates of hosts. A hello for another name, or for none, gets the first one's,
/// as of a web server's default host; one that offers protocols and not ours gets none.
#[derive(Debug)]
pub(crate) struct ByName(Vec<(String, Arc<CertifiedKey>)>);

impl ByName {
    /// Names in lower case, each with what it shows.
    pub(crate) fn new(hosts: Vec<(String, Arc<CertifiedKey>)>) -> Self {
        Self(hosts)
    }

    fn of(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named =
            |host: &&(String, _)| name.is_some_and(|name| host.0.eq_ignore_ascii_case(name));
        let found = self.0.iter().find(named).or(self.0.first());
        found.map(|(_, certified)| certified)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn();
        if offered
            .as_mut()
            .is_some_and(|offered| !offered.any(|one| one == HTTP_1_1))
        {
            return None;
        }
        self.of(hello.server_name()).cloned()
    }
}
