use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::patience::before;
use crate::config::InviteName;

/// Of a name, those that are tried.
const MAX: usize = 4;

/// Where `host` leads, in the order in which apps try it; those that this machine has no
/// way to are left out, if there are others. What is wrong is said in words.
pub(super) async fn of(
    at: Option<&InviteName>,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = match at {
        Some(at) => (at.host.clone(), at.port.unwrap_or(port)),
        None => (host.to_owned(), port),
    };
    let asked = smol::net::resolve((host.as_str(), port));
    let Some(found) = before(Instant::now() + limit, asked).await else {
        return Err("no answer from DNS".to_owned());
    };
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(|error| format!("DNS: {error}"))? {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    if all.iter().any(is_reachable) {
        all.retain(is_reachable);
    }
    all.truncate(MAX);
    match all.is_empty() {
        true => Err("DNS knows no address of it".to_owned()),
        false => Ok(all),
    }
}

/// Whether the kernel has a route there; nothing is sent.
fn is_reachable(address: &SocketAddr) -> bool {
    let from = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    UdpSocket::bind(from).is_ok_and(|socket| socket.connect(address).is_ok())
}
