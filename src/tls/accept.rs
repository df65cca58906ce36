//! A handshake as a server, with whoever has said something already.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;

use super::error::Error;
use super::stream::{Judge, TlsContext, TlsStream};
use super::{Batch, Peer};
use crate::net::{BufferPool, Rope, Scratch, Socket};

/// What connections of a server for everybody are made with.
#[derive(Clone)]
pub(crate) struct AcceptContext {
    pub(crate) scratch: Rc<Scratch>,
    tls: TlsContext,
}

impl AcceptContext {
    pub(crate) fn new(scratch: &Rc<Scratch>, buffers: &Rc<BufferPool>, batch: Batch) -> Self {
        Self {
            scratch: scratch.clone(),
            tls: TlsContext {
                batch,
                buffers: buffers.clone(),
                judge: Rc::new(Anybody),
            },
        }
    }
}

/// A handshake that is done.
pub(crate) struct Accepted {
    pub(crate) tls: TlsStream,
    /// Data that came along with its end: to be used before anything else.
    pub(crate) early: Vec<u8>,
}

impl Accepted {
    /// Shakes hands on `socket`, of which `received` has been read; how long that may take
    /// is for the caller to say. After an error the other side has been told by an alert,
    /// as any server does.
    pub(crate) async fn by(
        context: &AcceptContext,
        config: &Arc<ServerConfig>,
        socket: &Socket,
        received: &[u8],
    ) -> Result<Self, Error> {
        let mut tls = TlsStream::accept(context.tls.clone(), config)?;
        let mut early = tls.hear(socket, received)?;
        let done = |cx: &mut Context<'_>| poll_shaken(cx, context, socket, &mut tls, &mut early);
        poll_fn(done).await?;
        Ok(Self { tls, early })
    }
}

fn poll_shaken(
    cx: &mut Context<'_>,
    context: &AcceptContext,
    socket: &Socket,
    tls: &mut TlsStream,
    early: &mut Vec<u8>,
) -> Poll<Result<(), Error>> {
    loop {
        while !tls.is_flushed() {
            ready!(socket.poll_writable(cx));
            tls.flush(socket, &mut Rope::default())?;
        }
        if !tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        let mut take = |data: &mut [u8]| {
            early.extend_from_slice(data);
            Ok::<(), Error>(())
        };
        let read = context
            .scratch
            .with(|buffer| tls.poll_read(cx, socket, buffer, &mut take));
        match read {
            Some(Poll::Ready(read)) => read?,
            Some(Poll::Pending) => return Poll::Pending,
            None => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Clients show no certificates.
struct Anybody;

impl Judge for Anybody {
    fn denies(&self, _: &Peer) -> Option<String> {
        None
    }

    fn explain(&self, error: &rustls::Error) -> String {
        error.to_string()
    }
}
