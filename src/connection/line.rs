//! A client's own connection to a DC.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smol_mtproxy_ciphers::CtrStream;

use super::enciphered::Enciphered;
use crate::net::{BufferPool, Socket};

/// A client's own connection to a DC, which has its 64-byte header. What comes from it
/// is encrypted for the client already.
pub(crate) enum Line {
    /// To the DC itself.
    Plain(Enciphered),
    /// By a web server that hands it on, or by another MTProxy: one variant for both, for
    /// which a plain one has room without growing.
    #[cfg(feature = "tls")]
    Wrapped(Box<dyn Wrapped>),
}

/// What a [`Line`] does, for one whose bytes go in something.
#[cfg(feature = "tls")]
pub(crate) trait Wrapped {
    /// See [`Line::send`].
    fn send(&mut self, buffers: &Rc<BufferPool>, data: &mut [u8]) -> io::Result<usize>;

    /// See [`Line::flush`].
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize>;

    fn is_flushed(&self) -> bool;

    /// See [`Line::poll_read`].
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>>;

    /// Drops what the next byte can make again.
    fn hibernate(&mut self);

    /// What is kept for the client because it had no room, in bytes.
    #[cfg(test)]
    fn held(&self) -> usize;
}

impl Line {
    pub(crate) fn plain(socket: Socket, to_dc: CtrStream) -> Self {
        Self::Plain(Enciphered::new(socket, to_dc))
    }

    /// The connection, if what comes on it can be handed on as it is.
    pub(crate) fn as_socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(plain) => Some(plain.socket()),
            #[cfg(feature = "tls")]
            Self::Wrapped(_) => None,
        }
    }

    /// Sends the client's bytes, behind what waits: how many of those that were ever sent
    /// have got to the kernel by this. The rest waits for [`flush`](Self::flush), also
    /// after an error, which `flush` then meets again. `data` is used up.
    pub(crate) fn send(&mut self, buffers: &Rc<BufferPool>, data: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.send(buffers, data),
            #[cfg(feature = "tls")]
            Self::Wrapped(wrapped) => wrapped.send(buffers, data),
        }
    }

    /// Sends what waits, as far as the kernel takes it, which wakes the caller for
    /// more: how many of the client's bytes have got there by this.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.flush(cx),
            #[cfg(feature = "tls")]
            Self::Wrapped(wrapped) => wrapped.flush(cx),
        }
    }

    /// Everything that was sent has been taken by the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_flushed(),
            #[cfg(feature = "tls")]
            Self::Wrapped(wrapped) => wrapped.is_flushed(),
        }
    }

    /// Reads once, by `space`, and hands to `take` at most `most` bytes: how many, 0 at
    /// the end. `space` is the scratch buffer, however small `most` is.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => {
                let limit = most.min(space.len());
                let space = space.get_mut(..limit).unwrap_or_default();
                let length = ready!(plain.socket().poll_read(cx, space))?;
                take(space.get_mut(..length).unwrap_or_default());
                Poll::Ready(Ok(length))
            }
            #[cfg(feature = "tls")]
            Self::Wrapped(wrapped) => wrapped.poll_read(cx, space, most, take),
        }
    }

    /// Drops what the next byte can make again.
    pub(crate) fn hibernate(&mut self) {
        match self {
            Self::Plain(plain) => plain.hibernate(),
            #[cfg(feature = "tls")]
            Self::Wrapped(wrapped) => wrapped.hibernate(),
        }
    }
}
