//! One connection: how it comes to be, what it is asked to do, and its end. Its
//! `bytes` are a file of their own.

mod bytes;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, Protocol, Shutdown, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};

use super::comfort;
use super::reactor::{Direction, Reactor};

/// When a silent peer is probed and when it counts as dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// Idle time before the first probe and between probes.
    pub(crate) interval: Duration,
    pub(crate) probes: u32,
    /// How long sent data may stay unacknowledged.
    pub(crate) user_timeout: Duration,
}

/// A non-blocking connection, TCP or Unix, that belongs to one task; other tasks may
/// still write to it with [`try_write`](Self::try_write).
pub(crate) struct Socket {
    fd: OwnedFd,
    /// In 32 bits: it is smaller than a descriptor can be, and idle clients have many.
    key: u32,
    reactor: Rc<Reactor>,
}

impl Socket {
    /// Takes over a non-blocking stream socket.
    pub(crate) fn new(reactor: &Rc<Reactor>, fd: OwnedFd) -> io::Result<Self> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        let key = reactor.add_source(&fd, flags)?;
        Ok(Self {
            fd,
            key: key as u32,
            reactor: reactor.clone(),
        })
    }

    /// Connects without a time limit of its own.
    pub(crate) async fn connect(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        Self::connect_stream(reactor, family, Some(ipproto::TCP), &address).await
    }

    /// [`connect`](Self::connect) that fails as timed out when `limit` is over.
    pub(crate) async fn connect_within(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        limit: Duration,
    ) -> io::Result<Self> {
        // By reference: a future that is handed on by value has room four times.
        let connecting = pin!(Self::connect(reactor, address));
        let connected = reactor.timeout(limit, connecting).await;
        connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Connects to a Unix socket. It fails at once where the peer has more
    /// connections waiting than it wants.
    pub(crate) async fn connect_unix(reactor: &Rc<Reactor>, path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        Self::connect_stream(reactor, AddressFamily::UNIX, None, &address).await
    }

    async fn connect_stream(
        reactor: &Rc<Reactor>,
        family: AddressFamily,
        protocol: Option<Protocol>,
        address: &impl SocketAddrArg,
    ) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)?;
        let started = rustix::net::connect(&fd, address);
        let socket = Self::new(reactor, fd)?;
        match started {
            Ok(()) => return Ok(socket),
            Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            // An edge that was there before the connection stands is not it.
            socket.reactor.clear_ready(socket.key(), Direction::Write);
            poll_fn(|cx| socket.poll_writable(cx)).await;
            sockopt::socket_error(&socket.fd)??;
            match rustix::net::getpeername(&socket.fd) {
                Ok(_) => return Ok(socket),
                Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn key(&self) -> usize {
        self.key as usize
    }

    /// Sends small packets of this TCP connection at once, if the kernel can.
    pub(crate) fn set_nodelay(&self) {
        comfort::NODELAY.tried(sockopt::set_tcp_nodelay(&self.fd, true));
    }

    /// As much of it as the kernel can, for a TCP connection.
    pub(crate) fn set_keepalive(&self, keepalive: Keepalive) {
        let Keepalive {
            interval, probes, ..
        } = keepalive;
        for outcome in [
            sockopt::set_socket_keepalive(&self.fd, true),
            sockopt::set_tcp_keepidle(&self.fd, interval),
            sockopt::set_tcp_keepintvl(&self.fd, interval),
            sockopt::set_tcp_keepcnt(&self.fd, probes),
        ] {
            comfort::KEEPALIVE.tried(outcome);
        }
        let millis = u32::try_from(keepalive.user_timeout.as_millis()).unwrap_or(u32::MAX);
        comfort::USER_TIMEOUT.tried(sockopt::set_tcp_user_timeout(&self.fd, millis));
    }

    /// Closing will send RST and drop what is unsent; if it fails, it is an end as
    /// others.
    pub(crate) fn set_reset_on_close(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO))?)
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        to_std(rustix::net::getsockname(&self.fd)?)
    }

    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        to_std(rustix::net::getpeername(&self.fd)?.ok_or(Errno::NOTCONN)?)
    }

    /// No more data from our side; the peer reads EOF.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Write)?)
    }

    /// Ends the connection both ways, before the descriptor is closed.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Both)?)
    }

    /// Ends the connection by RST at once, before the descriptor is closed.
    pub(crate) fn reset(&self) -> io::Result<()> {
        Ok(rustix::net::connect_unspec(&self.fd)?)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key(), Direction::Read, cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key(), Direction::Write, cx)
    }

    /// Ready when the peer will send no more, whether or not what it has sent
    /// is read.
    pub(crate) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key(), Direction::HangUp, cx)
    }

    /// Makes the next write ask the kernel though it took nothing before: it
    /// says that it takes more only when that is worth its while.
    pub(crate) fn expect_writable(&self) {
        self.reactor.set_ready(self.key(), Direction::Write);
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.reactor.is_ready(self.key(), Direction::Write)
    }
}

fn to_std(address: rustix::net::SocketAddrAny) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(address)?)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reactor.remove_source(self.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Executor;

    #[test]
    fn who_does_not_answer_is_given_up_in_time() {
        let reactor = Reactor::virtual_time().unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let deaf = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            flags,
            Some(ipproto::TCP),
        );
        let deaf = deaf.unwrap();
        rustix::net::bind(&deaf, &here).unwrap();
        // The kernel keeps one connection waiting, and then says nothing.
        rustix::net::listen(&deaf, 0).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&deaf).unwrap()).unwrap();
        let limit = Duration::from_secs(5);
        reactor.block_on(&Executor::default(), async {
            let connect = || Socket::connect_within(&reactor, address, limit);
            let _first = connect().await.unwrap();
            let began = reactor.now();
            let error = connect().await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(reactor.now() - began, limit);
            drop(deaf);
            let error = connect().await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        });
    }
}
