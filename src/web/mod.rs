//! The WEB proxy: streams of Telegram's apps that a page of an ordinary web site carries.
//!
//! A *web session* is what one app has here: its *carrier* (a WebSocket, or requests of
//! HTTPS) brings frames, and these many *web streams*, each of which is a client like any
//! other. Who shows no secret sees the *cover*, and cannot tell that there is anything else.

pub(crate) mod cover;
mod listen;
mod server;

use std::net::SocketAddr;
use std::rc::Rc;

use crate::client::ClientContext;
use crate::config::{DoorConfig, WebConfig};
use crate::http;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Live, Reactor, Scratch};

pub(crate) use listen::{WebListenerHandle, listen};

/// What all web sessions share.
pub(crate) struct WebContext {}

/// The parts that a [`WebContext`] is made of.
pub(crate) struct WebParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) metrics: Rc<Metrics>,
    /// Who serves the streams.
    pub(crate) clients: Rc<ClientContext>,
    /// The hosts, their secrets and their sites.
    pub(crate) config: Live<WebConfig>,
    /// The route and the tag of the streams' clients.
    pub(crate) doors: Live<DoorConfig>,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comer {
    pub(crate) client: SocketAddr,
    /// What it connected to.
    pub(crate) local: SocketAddr,
}

impl WebContext {
    pub(crate) fn new(parts: WebParts) -> Rc<Self>;

    /// Serves one connection of HTTP to its end; over TLS its handshake is done.
    pub(crate) async fn serve(self: Rc<Self>, connection: Rc<http::Connection>, comer: Comer);

    /// Ends every web session: the proxy is stopping.
    pub(crate) fn end_all(&self);
}

// listen.rs:
// pub(crate) fn listen(context: &Rc<WebContext>, listener: Rc<Listener>, door: config::WebListen) -> WebListenerHandle
// impl WebListenerHandle { fn socket(&self) -> &Rc<Listener>; fn set(&self, door: WebListen); async fn close(self) -> Rc<Listener> }
