use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::config::{Config, Role};
use crate::link::Security;
use crate::wire::link;

const LIMIT: Duration = Duration::from_secs(5);

/// Whether what secures the link can be used.
pub(super) fn files(config: &Config) -> Option<Verdict> {
    let role = match config.role {
        Role::Both => return None,
        Role::Front => link::Role::Front,
        Role::Back => link::Role::Back,
    };
    let with = match (&config.link.tls, &config.link.key) {
        (Some(_), Some(_)) => "TLS and a key",
        (Some(_), None) => "TLS",
        (None, _) => "a key, plain: for the inside of a tunnel",
    };
    Some(match Security::load(&config.link, role) {
        Ok(_) => Verdict::ok("link files", with),
        Err(error) => Verdict::fail("link files", error.to_string()),
    })
}

/// Whether a front's backs can be connected to.
pub(super) fn backs(config: &Config) -> Vec<Verdict> {
    let probe = |back| {
        let start = Instant::now();
        let subject = format!("back {back}");
        match TcpStream::connect_timeout(back, LIMIT) {
            Ok(_) => Verdict::ok(subject, format!("in {} ms", start.elapsed().as_millis())),
            Err(error) => Verdict::fail(
                subject,
                format!(
                    "{error}; is it running, its port open in the firewall, and the tunnel up?"
                ),
            ),
        }
    };
    config.link.backs.iter().map(probe).collect()
}
