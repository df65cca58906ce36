use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, ipproto, sockopt,
};
use smol::io::{AsyncRead, AsyncWrite};

use super::comfort;
use super::reactor::{Direction, Reactor};

/// Reads that a connection is worth which is to end.
const MOST_DISCARDS: usize = 4;

/// When a silent peer is probed and when it counts as dead.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Idle time before the first probe and between probes.
    pub interval: Duration,
    pub probes: u32,
    /// How long sent data may stay unacknowledged.
    pub user_timeout: Duration,
}

/// A non-blocking connection, TCP or Unix, that belongs to one task; other tasks may
/// still write to it with [`try_write`](Self::try_write).
pub struct Socket {
    fd: OwnedFd,
    key: usize,
    reactor: Rc<Reactor>,
}

impl Socket {
    /// Takes over a non-blocking stream socket.
    pub fn new(reactor: &Rc<Reactor>, fd: OwnedFd) -> io::Result<Self> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        let key = reactor.add_source(&fd, flags)?;
        Ok(Self {
            fd,
            key,
            reactor: reactor.clone(),
        })
    }

    /// Connects without a time limit of its own.
    pub async fn connect(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        Self::connect_stream(reactor, family, Some(ipproto::TCP), &address).await
    }

    /// [`connect`](Self::connect) that fails as timed out when `limit` is over.
    pub async fn connect_within(
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
    pub async fn connect_unix(reactor: &Rc<Reactor>, path: &Path) -> io::Result<Self> {
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
            socket.reactor.clear_ready(socket.key, Direction::Write);
            poll_fn(|cx| socket.poll_writable(cx)).await;
            sockopt::socket_error(&socket.fd)??;
            match rustix::net::getpeername(&socket.fd) {
                Ok(_) => return Ok(socket),
                Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends small packets of this TCP connection at once, if the kernel can.
    pub fn set_nodelay(&self) {
        comfort::NODELAY.tried(sockopt::set_tcp_nodelay(&self.fd, true));
    }

    /// As much of it as the kernel can, for a TCP connection.
    pub fn set_keepalive(&self, keepalive: Keepalive) {
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
    pub fn set_reset_on_close(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO))?)
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        to_std(rustix::net::getsockname(&self.fd)?)
    }

    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        to_std(rustix::net::getpeername(&self.fd)?.ok_or(Errno::NOTCONN)?)
    }

    /// No more data from our side; the peer reads EOF.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Write)?)
    }

    /// Ends the connection both ways, before the descriptor is closed.
    pub fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, Shutdown::Both)?)
    }

    /// Ends the connection by RST at once, before the descriptor is closed.
    pub fn reset(&self) -> io::Result<()> {
        Ok(rustix::net::connect_unspec(&self.fd)?)
    }

    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key, Direction::Read, cx)
    }

    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key, Direction::Write, cx)
    }

    /// Ready when the peer will send no more, whether or not what it has sent
    /// is read.
    pub fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key, Direction::HangUp, cx)
    }

    /// Makes the next write ask the kernel though it took nothing before: it
    /// says that it takes more only when that is worth its while.
    pub fn expect_writable(&self) {
        self.reactor.set_ready(self.key, Direction::Write);
    }

    pub fn is_writable(&self) -> bool {
        self.reactor.is_ready(self.key, Direction::Write)
    }

    /// Reads what there is, at most `buffer`; 0 is the end of the stream.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.poll_receive(cx, buffer, RecvFlags::empty()))?;
        if length > 0 && length < buffer.len() {
            self.reactor.clear_readable_unless_hung_up(self.key);
        }
        Poll::Ready(Ok(length))
    }

    /// [`poll_read`](Self::poll_read) that leaves everything where it is, for
    /// [`skip`](Self::skip).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, buffer, RecvFlags::PEEK)
    }

    /// Bytes that are there to be read.
    pub fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.fd).unwrap_or(0)
    }

    /// Ready when `count` bytes are there to be read, or as many as there will
    /// be. Fewer can be read all the same.
    pub fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        ready!(self.poll_readable(cx));
        let there = rustix::io::ioctl_fionread(&self.fd)?;
        let is_last = self.reactor.is_ready(self.key, Direction::HangUp);
        if is_last || there >= count as u64 {
            return Poll::Ready(Ok(()));
        }
        // The next byte is an edge.
        self.reactor.clear_ready(self.key, Direction::Read);
        let parked = self.poll_readable(cx);
        self.reactor.set_ready(self.key, Direction::Read);
        parked.map(Ok)
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx));
            match rustix::net::recv(&self.fd, &mut *buffer, flags) {
                Ok((length, _)) => return Poll::Ready(Ok(length)),
                Err(Errno::AGAIN) => self.reactor.clear_ready(self.key, Direction::Read),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Takes away as many bytes as `peeked` has.
    pub fn skip(&self, mut peeked: &mut [u8]) -> io::Result<()> {
        while !peeked.is_empty() {
            match rustix::net::recv(&self.fd, &mut *peeked, RecvFlags::empty()) {
                Ok((0, _)) => break,
                Ok((length, _)) => peeked = peeked.get_mut(length..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Throws away what is there to be read, by `buffer`: a socket that is closed
    /// over something unread ends by RST.
    pub fn discard_waiting(&self, buffer: &mut [u8]) {
        for _ in 0..MOST_DISCARDS {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) if length == buffer.len() => {}
                _ => return,
            }
        }
    }

    /// Nothing is left to read before the end of the stream. For one that has
    /// [hung up](Self::poll_hung_up).
    pub fn is_at_end(&self) -> bool {
        let peeked = rustix::net::recv(&self.fd, &mut [0; 1], RecvFlags::PEEK);
        !matches!(peeked, Ok((length, _)) if length > 0)
    }

    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Fills `buffer` or fails with `UnexpectedEof`.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => buffer = buffer.split_at_mut(length).1,
            }
        }
        Ok(())
    }

    /// Writes what the kernel takes now: 0 when it takes nothing, after which
    /// [`poll_writable`](Self::poll_writable) tells when it will.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.try_send(data.len(), || {
            rustix::net::send(&self.fd, data, SendFlags::NOSIGNAL)
        })
    }

    /// [`try_write`](Self::try_write) for several slices in one system call.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = slices.iter().map(|slice| slice.len()).sum();
        self.try_send(total, || {
            let mut no_control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(&self.fd, slices, &mut no_control, SendFlags::NOSIGNAL)
        })
    }

    /// [`try_write`](Self::try_write), telling the kernel that more follows at
    /// once.
    pub fn try_write_more(&self, data: &[u8]) -> io::Result<usize> {
        self.try_send(data.len(), || {
            rustix::net::send(&self.fd, data, SendFlags::NOSIGNAL | SendFlags::MORE)
        })
    }

    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.try_write(data)?;
            data = data.get(written..).unwrap_or_default();
            if !data.is_empty() {
                poll_fn(|cx| self.poll_writable(cx)).await;
            }
        }
        Ok(())
    }

    pub(super) fn try_send(
        &self,
        total: usize,
        mut send: impl FnMut() -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        if !self.is_writable() {
            return Ok(0);
        }
        loop {
            match send() {
                Ok(written) => {
                    if written < total {
                        self.reactor.clear_ready(self.key, Direction::Write);
                    }
                    return Ok(written);
                }
                Err(Errno::AGAIN) => {
                    self.reactor.clear_ready(self.key, Direction::Write);
                    return Ok(0);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn not_readable(&self) {
        self.reactor.clear_ready(self.key, Direction::Read);
    }

    pub(super) fn not_writable(&self) {
        self.reactor.clear_ready(self.key, Direction::Write);
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
        self.reactor.remove_source(self.key);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Socket::poll_read(&self, cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(data)? {
                0 if !data.is_empty() => ready!(self.poll_writable(cx)),
                written => return Poll::Ready(Ok(written)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
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
