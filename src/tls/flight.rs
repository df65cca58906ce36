//! How our own TLS answers a browser, as a stranger sees it: asked in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::{ProducesTickets, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, ServerConfig, SignatureAlgorithm, SignatureScheme};

use super::by_name::ByName;
use super::server::server;
use super::shaking::{Progress, Shaking};
use super::side::Side;
use crate::net::fill_random;
use crate::wire::flight_length::FlightLength;
use crate::wire::secret::Domain;
use crate::wire::server_hello::{FlightLengths, FlightProfile};
use crate::wire::site_flight;
use crate::wire::site_hello::browser_hello;

/// The answers of a server that shows `certified` to browsers that ask for `domain`; `None`
/// if it has none by TLS 1.3. Blocks: keys whose signatures are all of one length sign.
pub(crate) fn profile(
    certified: &CertifiedKey,
    tickets: &Arc<dyn ProducesTickets>,
    domain: &Domain,
) -> Option<FlightProfile> {
    let length = |length: u16| match certified.key.algorithm() {
        SignatureAlgorithm::ECDSA => FlightLength::Ecdsa { longest: length },
        _ => length.into(),
    };
    let key = Arc::new(Longest(certified.key.clone()));
    let certified = CertifiedKey::new(certified.cert.clone(), key);
    let hosts = vec![(domain.as_str().to_owned(), Arc::new(certified))];
    let config = server(Arc::new(ByName::new(hosts)), tickets).ok()?;
    let usual = answer(&config, domain, true)?;
    let without_mlkem = answer(&config, domain, false).filter(|_| usual.post_quantum);
    Some(usual.with_lengths(FlightLengths {
        usual: length(usual.lengths),
        without_mlkem: without_mlkem.map(|answer| length(answer.lengths)),
    }))
}

/// How long it takes for one of these answers, on this machine as it is: mostly for the
/// signature. Blocks as long.
pub(crate) fn answer_time(
    certified: &Arc<CertifiedKey>,
    tickets: &Arc<dyn ProducesTickets>,
    domain: &Domain,
) -> Option<Duration> {
    let hosts = vec![(domain.as_str().to_owned(), certified.clone())];
    let config = server(Arc::new(ByName::new(hosts)), tickets).ok()?;
    let began = Instant::now();
    answer(&config, domain, true)?;
    Some(began.elapsed())
}

/// What comes for one hello.
fn answer(
    config: &Arc<ServerConfig>,
    domain: &Domain,
    with_mlkem: bool,
) -> Option<FlightProfile<u16>> {
    let side = UnbufferedServerConnection::new(config.clone()).ok()?;
    let mut shaking = Shaking::new(Side::Server(side));
    let hello = browser_hello(domain, with_mlkem, &mut fill_random);
    match shaking.advance(&hello) {
        Ok(Progress::Waits) => site_flight::read(shaking.outgoing()).ok(),
        _ => None,
    }
}

/// A key whose ECDSA signatures are as long as there are any, and nothing else.
#[derive(Debug)]
struct Longest(Arc<dyn SigningKey>);

impl SigningKey for Longest {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(Signature(signer)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct Signature(Box<dyn Signer>);

impl Signer for Signature {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // Two numbers, each with three bytes before its own, after two bytes.
        let longest = |number: usize| Ok(vec![0; 2 + 2 * (3 + number)]);
        match self.scheme() {
            SignatureScheme::ECDSA_NISTP256_SHA256 => longest(32),
            SignatureScheme::ECDSA_NISTP384_SHA384 => longest(48),
            _ => self.0.sign(message),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

#[cfg(test)]
mod tests;
