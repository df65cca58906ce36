use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Asks the system for the addresses of `name`, at least one and at most
/// `most`; blocks for as long as its resolver does, which may be half a minute.
pub fn look_up(name: &str, port: u16, most: usize) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = (name, port).to_socket_addrs()?.take(most).collect();
    match found.is_empty() {
        true => Err(io::Error::other("it has no address")),
        false => Ok(found),
    }
}
