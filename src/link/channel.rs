#[cfg(feature = "tls")]
use std::cell::RefCell;
use std::io::IoSlice;
#[cfg(feature = "tls")]
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::fault::Fault;
use crate::net::{Rope, Socket};
#[cfg(feature = "tls")]
use crate::tls::{TlsStream, Writer, x509::Fingerprints};

/// Slices of one vectored write.
pub(super) const MAX_SLICES: usize = 16;

/// What frames go through on their way to and from the socket. The link's task has it.
pub(super) enum Channel {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

/// The half of a [`Channel`] that writes, once the handshake is done. All streams of a
/// link share it with the link's task, so that what a stream sends need not wait for
/// that task.
pub(super) enum Outlet {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Rc<RefCell<Writer>>),
}

impl Outlet {
    /// For the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "TLS",
        }
    }

    /// Writes what the kernel takes of `slices` at once; returns how much is
    /// gone.
    pub(crate) fn write(&self, socket: &Socket, slices: &[&[u8]]) -> Result<usize, Fault> {
        match self {
            Self::Plain => {
                let mut io = heapless::Vec::<IoSlice<'_>, MAX_SLICES>::new();
                io.extend(
                    slices
                        .iter()
                        .take(MAX_SLICES)
                        .map(|slice| IoSlice::new(slice)),
                );
                socket.try_write_vectored(&io).map_err(Fault::Broken)
            }
            #[cfg(feature = "tls")]
            Self::Tls(writer) => {
                let slices = slices.iter().copied();
                Ok(writer.borrow_mut().write(socket, slices)?)
            }
        }
    }

    /// Nothing waits here for the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(feature = "tls")]
            Self::Tls(writer) => writer.borrow().is_flushed(),
        }
    }
}

impl Channel {
    /// For those that only write; none before the handshake is done.
    pub(crate) fn outlet(&self) -> Option<Outlet> {
        match self {
            Self::Plain => Some(Outlet::Plain),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.writer().map(Outlet::Tls),
        }
    }

    /// The name in the other side's certificate, after the handshake.
    pub(crate) fn peer_name(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.peer_name(),
        }
    }

    /// By what that certificate is known.
    #[cfg(feature = "tls")]
    pub(crate) fn peer_fingerprints(&self) -> Option<Fingerprints> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) => tls.peer_fingerprints(),
        }
    }

    /// Reads once and hands what came to `take`, in pieces.
    pub(crate) fn poll_read(
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
    pub(crate) fn flush(&mut self, socket: &Socket, out: &mut Rope) -> Result<usize, Fault> {
        match self {
            Self::Plain => out.write_to(socket).map_err(Fault::Broken),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Ok(tls.flush(socket, out)?),
        }
    }

    /// Nothing waits here for the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_flushed(),
        }
    }

    /// TLS has not shaken hands yet, so there is nothing to read or write of ours.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_handshaking(),
        }
    }
}
