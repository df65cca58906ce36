use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::cli::within::within;
use crate::config::{Config, HostPort, LinkConfig, Role};
use crate::link::Security;
use crate::net::look_up;
use crate::wire::link;

const LIMIT: Duration = Duration::from_secs(5);

/// Where a name has several addresses.
const LIMIT_OF_ONE: Duration = Duration::from_secs(3);
const MOST_ADDRESSES: usize = 4;

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
    let probe = |back: &HostPort| {
        let subject = format!("back {back}");
        match probe(&config.link, back) {
            Ok(finding) => Verdict::ok(subject, finding),
            Err(problem) => Verdict::fail(subject, problem),
        }
    };
    config.link.backs.iter().map(probe).collect()
}

/// The first of its addresses that answers.
fn probe(link: &LinkConfig, back: &HostPort) -> Result<String, String> {
    let addresses = addresses(back)?;
    let limit = match addresses.len() {
        1 => LIMIT,
        _ => LIMIT_OF_ONE,
    };
    let mut problem = None;
    for address in addresses {
        if link.forbids(address) {
            return Err(format!(
                "{address} is public, and the link has no TLS: it could be read on its way; use \
                 certificates, a tunnel's address or --link-plain-on-public yes"
            ));
        }
        let start = Instant::now();
        match TcpStream::connect_timeout(&address, limit) {
            Ok(_) => {
                let took = start.elapsed().as_millis();
                return Ok(match back {
                    HostPort::Address(_) => format!("in {took} ms"),
                    HostPort::Name { .. } => format!("{address} in {took} ms"),
                });
            }
            Err(error) => problem = problem.or(Some(format!("{address}: {error}"))),
        }
    }
    let problem = problem.unwrap_or_default();
    Err(format!(
        "{problem}; is it running, its port open in the firewall, and the tunnel up?"
    ))
}

fn addresses(back: &HostPort) -> Result<Vec<SocketAddr>, String> {
    let (name, port) = match back {
        HostPort::Address(address) => return Ok(vec![*address]),
        HostPort::Name { name, port } => (name.clone(), *port),
    };
    let found = within(LIMIT, move || look_up(&name, port, MOST_ADDRESSES));
    let problem = match found {
        Some(Ok(found)) => return Ok(found),
        Some(Err(error)) => error.to_string(),
        None => format!("no answer within {} s", LIMIT.as_secs()),
    };
    Err(format!(
        "the name is not found: {problem}; is it spelled right, and does DNS work here?"
    ))
}
