use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::comfort;
use super::reactor::{Direction, Reactor};
use super::socket::Socket;

/// Connections that the kernel keeps waiting for us.
const BACKLOG: i32 = 1024;

/// A listening stream socket.
pub struct Listener {
    fd: OwnedFd,
    key: usize,
    reactor: Rc<Reactor>,
}

impl Listener {
    /// Binds `address`; an IPv6 address takes IPv6 only, so that both families
    /// can have a listener on one port.
    pub fn bind(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = rustix::net::socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        )?;
        comfort::REUSEADDR.tried(sockopt::set_socket_reuseaddr(&fd, true));
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        rustix::net::bind(&fd, &address)?;
        rustix::net::listen(&fd, BACKLOG)?;
        let key = reactor.add_source(&fd, EventFlags::IN)?;
        Ok(Self {
            fd,
            key,
            reactor: reactor.clone(),
        })
    }

    /// Takes over a Unix socket that listens.
    pub fn from_unix(reactor: &Rc<Reactor>, listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let fd = OwnedFd::from(listener);
        let key = reactor.add_source(&fd, EventFlags::IN)?;
        Ok(Self {
            fd,
            key,
            reactor: reactor.clone(),
        })
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(rustix::net::getsockname(&self.fd)?)?)
    }

    /// The next connection. Errors about one connection (it was aborted before
    /// we took it) are passed over; those about this process are returned.
    pub async fn accept(&self) -> io::Result<Socket> {
        let fd = poll_fn(|cx| self.poll_accept(cx)).await?;
        Socket::new(&self.reactor, fd)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        loop {
            ready!(self.reactor.poll_ready(self.key, Direction::Read, cx));
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::accept_with(&self.fd, flags) {
                Ok(fd) => return Poll::Ready(Ok(fd)),
                Err(Errno::AGAIN) => self.reactor.clear_ready(self.key, Direction::Read),
                Err(
                    error @ (Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOBUFS
                    | Errno::NOMEM
                    | Errno::INVAL
                    | Errno::BADF),
                ) => return Poll::Ready(Err(error.into())),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reactor.remove_source(self.key);
    }
}
