//! Reading and writing, which never wait: the reactor says when it is worth trying
//! again.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use smol::io::{AsyncRead, AsyncWrite};

use super::super::reactor::Direction;
use super::Socket;

/// Reads that a connection is worth which is to end.
const MAX_DISCARDS: usize = 4;

impl Socket {
    /// Reads what there is, at most `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let length = ready!(self.poll_receive(cx, buffer, RecvFlags::empty()))?;
        if length > 0 && length < buffer.len() {
            self.reactor.clear_readable_unless_hung_up(self.key());
        }
        Poll::Ready(Ok(length))
    }

    /// [`poll_read`](Self::poll_read) that leaves everything where it is, for
    /// [`skip`](Self::skip).
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, buffer, RecvFlags::PEEK)
    }

    /// Bytes that are there to be read.
    pub(crate) fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.fd).unwrap_or(0)
    }

    /// Ready when `count` bytes are there to be read, or as many as there will
    /// be. Fewer can be read all the same.
    pub(crate) fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        ready!(self.poll_readable(cx));
        let there = rustix::io::ioctl_fionread(&self.fd)?;
        let is_last = self.reactor.is_ready(self.key(), Direction::HangUp);
        if is_last || there >= count as u64 {
            return Poll::Ready(Ok(()));
        }
        // The next byte is an edge.
        self.reactor.clear_ready(self.key(), Direction::Read);
        let parked = self.poll_readable(cx);
        self.reactor.set_ready(self.key(), Direction::Read);
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
                Err(Errno::AGAIN) => self.reactor.clear_ready(self.key(), Direction::Read),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Takes away as many bytes as `peeked` has.
    pub(crate) fn skip(&self, mut peeked: &mut [u8]) -> io::Result<()> {
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
    pub(crate) fn discard_waiting(&self, buffer: &mut [u8]) {
        for _ in 0..MAX_DISCARDS {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) if length == buffer.len() => {}
                _ => return,
            }
        }
    }

    /// Nothing is left to read before the end of the stream. For one that has
    /// [hung up](Self::poll_hung_up).
    pub(crate) fn is_at_end(&self) -> bool {
        let peeked = rustix::net::recv(&self.fd, &mut [0; 1], RecvFlags::PEEK);
        !matches!(peeked, Ok((length, _)) if length > 0)
    }

    /// Nothing is there to be read, nor the end of the stream or an error.
    #[cfg(feature = "tls")]
    pub(crate) fn is_silent(&self) -> bool {
        let peeked = rustix::net::recv(&self.fd, &mut [0; 1], RecvFlags::PEEK);
        matches!(peeked, Err(Errno::AGAIN))
    }

    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Fills `buffer` or fails with `UnexpectedEof`.
    #[cfg(test)]
    pub(crate) async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
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
    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.try_send(data.len(), || {
            rustix::net::send(&self.fd, data, SendFlags::NOSIGNAL)
        })
    }

    /// Writes the few first bytes of a connection, which go out in one segment with what
    /// is written next, or by themselves after 200 ms.
    #[cfg(feature = "tls")]
    pub(crate) fn write_with_next(&self, data: &[u8]) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let written = self.try_send(data.len(), || rustix::net::send(&self.fd, data, flags))?;
        match written == data.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// [`try_write`](Self::try_write) for several slices in one system call.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = slices.iter().map(|slice| slice.len()).sum();
        self.try_send(total, || {
            let mut no_control = SendAncillaryBuffer::default();
            rustix::net::sendmsg(&self.fd, slices, &mut no_control, SendFlags::NOSIGNAL)
        })
    }

    pub(crate) async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.try_write(data)?;
            data = data.get(written..).unwrap_or_default();
            if !data.is_empty() {
                poll_fn(|cx| self.poll_writable(cx)).await;
            }
        }
        Ok(())
    }

    pub(in crate::net) fn try_send(
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
                        self.reactor.clear_ready(self.key(), Direction::Write);
                    }
                    return Ok(written);
                }
                Err(Errno::AGAIN) => {
                    self.reactor.clear_ready(self.key(), Direction::Write);
                    return Ok(0);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(in crate::net) fn not_readable(&self) {
        self.reactor.clear_ready(self.key(), Direction::Read);
    }

    pub(in crate::net) fn not_writable(&self) {
        self.reactor.clear_ready(self.key(), Direction::Write);
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
