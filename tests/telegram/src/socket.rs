//! Sockets without a buffer of their own: ten thousand idle ones cost nothing.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

use smol::Async;

pub(crate) const SCRATCH_LEN: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
}

/// Connects from an address of this machine.
pub async fn connect_from(source: IpAddr, target: SocketAddr) -> io::Result<Async<TcpStream>> {
    let family = match target {
        SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
        SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
    };
    let socket = rustix::net::socket(family, rustix::net::SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    // On loopback this takes no time.
    rustix::net::connect(&socket, &target)?;
    Async::new(TcpStream::from(socket))
}

/// The next bytes that the peer sent; none at its end of stream.
pub async fn read_some(stream: &Async<TcpStream>) -> io::Result<Vec<u8>> {
    read_at_most(stream, SCRATCH_LEN).await
}

/// The same, `most` bytes at a time.
pub async fn read_at_most(stream: &Async<TcpStream>, most: usize) -> io::Result<Vec<u8>> {
    loop {
        match read_now(stream.get_ref(), most) {
            Err(error) if is_kind(&error, ErrorKind::WouldBlock) => stream.readable().await?,
            Err(error) if is_kind(&error, ErrorKind::Interrupted) => {}
            outcome => return outcome,
        }
    }
}

/// What is there at once, at most [`SCRATCH_LEN`].
pub(crate) fn read_now(mut stream: &TcpStream, most: usize) -> io::Result<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let len = stream.read(&mut scratch[..most.min(SCRATCH_LEN)])?;
        Ok(scratch[..len].to_vec())
    })
}

fn is_kind(error: &io::Error, kind: ErrorKind) -> bool {
    error.kind() == kind
}

/// Reads and forgets until the peer ends its stream.
pub async fn drain(stream: &Async<TcpStream>) {
    while read_some(stream).await.is_ok_and(|bytes| !bytes.is_empty()) {}
}

/// Makes the coming close a reset instead of an orderly end.
pub fn reset_on_close(stream: impl AsFd) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
}
