//! A handshake as a server, with whoever has said something already.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;

use super::error::Error;
use super::stream::{Judge, TlsContext, TlsStream};
use super::{Batch, Peer};
use crate::net::{BufferPool, FairTurnstile, Rope, Scratch, Socket};

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

/// The same with a key that takes long: up to our answer the handshake goes on on other
/// threads, each step when it is the turn of `whose`.
pub(crate) async fn accept_away(
    context: &AcceptContext,
    config: &Arc<ServerConfig>,
    socket: &Socket,
    received: &[u8],
    turn: (&FairTurnstile, u64),
) -> Result<TlsStream, Error> {
    let mut tls = TlsStream::accept(context.tls.clone(), config)?;
    let mut received = received.to_vec();
    loop {
        if !received.is_empty() {
            tls.hear_away(socket, received, turn).await?;
        }
        if tls.has_answered() {
            break;
        }
        poll_fn(|cx| poll_flushed(cx, socket, &mut tls)).await?;
        received = poll_fn(|cx| poll_some(cx, context, socket)).await?;
    }
    poll_fn(|cx| poll_shaken(cx, context, socket, &mut tls)).await?;
    Ok(tls)
}

fn poll_flushed(
    cx: &mut Context<'_>,
    socket: &Socket,
    tls: &mut TlsStream,
) -> Poll<Result<(), Error>> {
    while !tls.is_flushed() {
        ready!(socket.poll_writable(cx));
        tls.flush(socket, &mut Rope::default())?;
    }
    Poll::Ready(Ok(()))
}

/// What one read gives.
fn poll_some(
    cx: &mut Context<'_>,
    context: &AcceptContext,
    socket: &Socket,
) -> Poll<Result<Vec<u8>, Error>> {
    let read = context.scratch.with(|buffer| {
        let length = ready!(socket.poll_read(cx, buffer))?;
        Poll::Ready(io::Result::Ok(
            buffer.get(..length).unwrap_or_default().to_vec(),
        ))
    });
    match read {
        Some(Poll::Ready(Ok(read))) if read.is_empty() => Poll::Ready(Err(Error::Closed)),
        Some(Poll::Ready(read)) => Poll::Ready(read.map_err(Error::Broken)),
        Some(Poll::Pending) => Poll::Pending,
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

fn poll_shaken(
    cx: &mut Context<'_>,
    context: &AcceptContext,
    socket: &Socket,
    tls: &mut TlsStream,
) -> Poll<Result<(), Error>> {
    loop {
        ready!(poll_flushed(cx, socket, tls))?;
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

#[cfg(test)]
mod tests;
