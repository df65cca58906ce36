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

/// Shakes hands on `socket`, of which `received` has been read; how long that may take is
/// for the caller to say. After an error the other side has been told by an alert, as any
/// server does.
pub(crate) async fn accept(
    context: &AcceptContext,
    config: &Arc<ServerConfig>,
    socket: &Socket,
    received: &[u8],
) -> Result<TlsStream, Error> {
    let mut tls = TlsStream::accept(context.tls.clone(), config)?;
    tls.hear(socket, received)?;
    poll_fn(|cx| poll_shaken(cx, context, socket, &mut tls)).await?;
    Ok(tls)
}

fn poll_shaken(
    cx: &mut Context<'_>,
    context: &AcceptContext,
    socket: &Socket,
    tls: &mut TlsStream,
) -> Poll<Result<(), Error>> {
    loop {
        while !tls.is_flushed() {
            ready!(socket.poll_writable(cx));
            tls.flush(socket, &mut Rope::default())?;
        }
        if !tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        let read = context
            .scratch
            .with(|buffer| tls.poll_shake(cx, socket, buffer));
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
