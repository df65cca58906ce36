//! What a client is read from and written to: a connection of its own, or a stream inside
//! of something that carries many.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use crate::net::{Keepalive, Socket, TakesSlices};

/// A client's end with us. A [`Socket`] makes it no larger than that is.
pub(crate) enum ClientEnd {
    Socket(Socket),
    /// In a box of its own, as two words of a pointer would make every client larger.
    Stream(Box<Box<dyn StreamEnd>>),
}

/// A stream inside of something that carries many: for its client like a socket.
///
/// It belongs to one task, whose waker each `poll_*` keeps for its own event; other tasks
/// may write to it. What is not ready is awaited by a `poll_*` that was pending, and by
/// nothing else. No method calls back into the client, but by waking it.
pub(crate) trait StreamEnd {
    /// Reads what there is, at most `buffer`; 0 is the end: the app has closed it, or its
    /// carrier is gone. An error is an end as well.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Ready when `count` bytes are there to be read, or as many as there will be, or as
    /// there is room for. Fewer can be read all the same.
    fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>>;

    /// Ready when the app will send no more, whether or not what it has sent is read.
    fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Nothing is left to read before the end. For one that has hung up.
    fn is_at_end(&self) -> bool;

    /// Hands on what is taken now, from the front: 0 is not now, after which
    /// [`poll_writable`](Self::poll_writable) is pending until more can be taken. An
    /// error: nothing will be taken any more.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when the next write takes at least a byte, or fails.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// The app is told that it is closed; no byte follows, nor comes. Also done by
    /// dropping it, and no more than once.
    fn close(&self);

    /// Has the app's machine asked whether it is there, by way of the carrier, which many
    /// streams may ask for: it goes on asking until each of them has [let it
    /// be](Self::let_be) or is closed. Fails where that cannot be, as with a carrier that
    /// has no connection now: then the stream counts as there while its carrier lives.
    fn ask_peer(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the carrier has heard anything since it began to ask.
    fn has_answered(&self) -> bool {
        true
    }

    /// This stream does not ask any more: once for each [`ask_peer`](Self::ask_peer),
    /// also one that failed.
    fn let_be(&self) {}
}

/// Who can be asked whether it is there, without its application seeing anything.
pub(crate) trait Askable {
    /// See [`Socket::ask_peer`].
    fn ask_peer(&self) -> io::Result<()>;

    /// See [`Socket::has_answered`].
    fn has_answered(&self) -> bool;

    /// Ends the asking, also if that failed; from here on there is `keepalive`.
    fn let_be(&self, keepalive: Keepalive);
}

impl Askable for Socket {
    fn ask_peer(&self) -> io::Result<()> {
        Self::ask_peer(self)
    }

    fn has_answered(&self) -> bool {
        Self::has_answered(self)
    }

    fn let_be(&self, keepalive: Keepalive) {
        self.set_keepalive(keepalive);
    }
}

impl Askable for ClientEnd {
    fn ask_peer(&self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.ask_peer(),
            Self::Stream(stream) => stream.ask_peer(),
        }
    }

    fn has_answered(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.has_answered(),
            Self::Stream(stream) => stream.has_answered(),
        }
    }

    fn let_be(&self, keepalive: Keepalive) {
        match self {
            Self::Socket(socket) => socket.set_keepalive(keepalive),
            Self::Stream(stream) => stream.let_be(),
        }
    }
}

impl ClientEnd {
    pub(crate) fn stream(end: Box<dyn StreamEnd>) -> Self {
        Self::Stream(Box::new(end))
    }

    /// The connection, if what goes to the client can be handed on as it is.
    pub(crate) fn as_socket(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Stream(_) => None,
        }
    }

    /// See [`Socket::poll_read`].
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_read(cx, buffer),
            Self::Stream(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// See [`Socket::poll_filled`].
    pub(crate) fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_filled(cx, count),
            Self::Stream(stream) => stream.poll_filled(cx, count),
        }
    }

    /// See [`Socket::poll_hung_up`].
    pub(crate) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => socket.poll_hung_up(cx),
            Self::Stream(stream) => stream.poll_hung_up(cx),
        }
    }

    /// See [`Socket::is_at_end`].
    pub(crate) fn is_at_end(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_at_end(),
            Self::Stream(stream) => stream.is_at_end(),
        }
    }

    /// See [`Socket::try_write`].
    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_write(data),
            Self::Stream(stream) => stream.try_write_vectored(&[IoSlice::new(data)]),
        }
    }

    /// See [`Socket::poll_writable`].
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => socket.poll_writable(cx),
            Self::Stream(stream) => stream.poll_writable(cx),
        }
    }

    /// Nothing speaks against a write. A stream is asked by writing to it.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_writable(),
            Self::Stream(_) => true,
        }
    }

    /// See [`Socket::expect_writable`]; a stream is always asked.
    pub(crate) fn expect_writable(&self) {
        if let Self::Socket(socket) = self {
            socket.expect_writable();
        }
    }

    /// Whose end it is, if it is that one's own connection.
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        self.as_socket()?.peer_address().ok()
    }

    /// Ends it both ways.
    pub(crate) fn close(&self) {
        match self {
            // It fails if the client was faster.
            Self::Socket(socket) => drop(socket.shutdown()),
            Self::Stream(stream) => stream.close(),
        }
    }

    /// Ends it both ways at once, by RST where there is a connection.
    pub(crate) fn reset(&self) {
        match self {
            Self::Socket(socket) => drop(socket.reset()),
            Self::Stream(stream) => stream.close(),
        }
    }
}

impl TakesSlices for ClientEnd {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_write_vectored(slices),
            Self::Stream(stream) => stream.try_write_vectored(slices),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_its_own_connection_pays_nothing() {
        assert_eq!(size_of::<ClientEnd>(), size_of::<Socket>());
    }
}
