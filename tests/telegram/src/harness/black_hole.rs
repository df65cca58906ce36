use std::io;
use std::net::{SocketAddr, TcpStream};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::free_address;

/// A listener whose queue is full: who connects to it hears nothing, as from an
/// address that is blocked.
pub struct BlackHole {
    address: SocketAddr,
    _listener: OwnedFd,
    /// It fills the queue, which holds one more than it is told.
    _waiting: TcpStream,
}

impl BlackHole {
    pub fn new() -> io::Result<Self> {
        let address = free_address();
        let flags = SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&listener, &address)?;
        rustix::net::listen(&listener, 0)?;
        Ok(Self {
            address,
            _listener: listener,
            _waiting: TcpStream::connect(address)?,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
