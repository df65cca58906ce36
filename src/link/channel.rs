use std::task::{Context, Poll, ready};

use super::fault::Fault;
#[cfg(feature = "tls")]
use super::tls::TlsChannel;
use crate::net::{Rope, Socket};

/// What frames go through on their way to and from the socket.
pub(super) enum Channel {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Box<TlsChannel>),
}

impl Channel {
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Reads once and hands what came to `take`, in pieces.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    ) -> Poll<Result<(), Fault>> {
        match self {
            Self::Plain => {
                let length = match ready!(socket.poll_read(cx, buffer)) {
                    Ok(0) => return Poll::Ready(Err(Fault::Closed)),
                    Ok(length) => length,
                    Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
                };
                Poll::Ready(take(buffer.get_mut(..length).unwrap_or_default()))
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_read(cx, socket, buffer, take),
        }
    }

    /// Writes until `out` is empty or the kernel takes no more; returns how
    /// many bytes of `out` are gone.
    pub fn flush(&mut self, socket: &Socket, out: &mut Rope) -> Result<usize, Fault> {
        match self {
            Self::Plain => out.write_to(socket).map_err(Fault::Broken),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(socket, out),
        }
    }

    /// Nothing waits here for the kernel.
    pub fn is_flushed(&self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_flushed(),
        }
    }

    /// TLS has not shaken hands yet.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_handshaking(),
        }
    }
}
