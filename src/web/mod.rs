//! The WEB proxy: streams of Telegram's apps that a page of an ordinary web site carries.
//!
//! A *web session* is what one app has here. Its *carrier*, a WebSocket or requests over
//! HTTPS, brings frames; these are many *web streams*, each of which is a client like any
//! other. Who shows no secret sees the *cover*, and cannot tell that there is more.
//!
//! | File | What |
//! |---|---|
//! | `listen` | doors for web servers in front of us |
//! | `in_front` | whose request it is that one of these hands on |
//! | `server` | one connection of HTTP, request by request |
//! | `decide` | what a request asks for; pure |
//! | `hosts` | the hosts, and who may come in there |
//! | `cover/` | the site that everybody else sees |
//! | `circle` | whether that leads back to ourselves |
//! | `page`, `page/` | the bridge page |
//! | `api` | the calls of apps and pages |
//! | `sessions` | all web sessions |
//! | `beginnings` | who may begin one |
//! | `session` | one: its streams, and what waits for their clients |
//! | `stream` | a web stream, as its client sees it |
//! | `notes` | what an app is told besides its data |
//! | `tls/` | TLS on the ports of clients |
//! | `acme/` | certificates for it from an authority |
//! | `carrier/` | what brings frames and takes them away |
//! | `limits` | how much of all this there may be |
//! | `connections` | how many connections nobody pushes out |

#[cfg(feature = "acme")]
pub(crate) mod acme;
mod api;
mod beginnings;
mod carrier;
mod circle;
mod connections;
mod cover;
mod decide;
mod hosts;
mod in_front;
mod limits;
mod listen;
mod notes;
mod page;
mod server;
mod session;
mod sessions;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::client::WebArrival;
#[cfg(feature = "tls")]
use crate::client::{Peer, WebStanding};
use crate::config::{ClientConfig, DoorConfig, WebConfig};
use crate::guard::gate::Gate;
#[cfg(feature = "tls")]
use crate::http::Connection;
use crate::http::HttpContext;
use crate::metrics::{Metrics, WebEnd};
use crate::net::{BufferPool, Executor, Live, Reactor, Scratch, fill_random};
use crate::wire::web::{HostName, Mint};
use circle::Circle;
use connections::Connections;
use cover::Cover;
#[cfg(feature = "tls")]
pub(crate) use cover::SiteTls;
pub(crate) use cover::{CoverContext, Directories, FilesError, Guests, covers};
use hosts::{Access, Hosts};
use in_front::InFrontTroubles;
use limits::Places;
pub(crate) use listen::{WebListenerHandle, listen};
use session::Session;
use sessions::Sessions;
use stream::End;

/// At the stop: for what waits for apps to be taken, and for carriers' last words.
const LAST_TAKEN: Duration = Duration::from_secs(1);
const LAST_SAID: Duration = Duration::from_millis(500);

/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(10);

/// What all connections and sessions of the WEB proxy share.
pub(crate) struct WebContext {
    reactor: Rc<Reactor>,
    executor: Rc<Executor>,
    buffers: Rc<BufferPool>,
    scratch: Rc<Scratch>,
    http: Rc<HttpContext>,
    metrics: Rc<Metrics>,
    gate: Rc<Gate>,
    serve: Box<dyn Fn(WebArrival)>,
    config: Live<WebConfig>,
    doors: Live<DoorConfig>,
    hosts: RefCell<Rc<Hosts>>,
    covers: RefCell<Vec<(Option<HostName>, Rc<Cover>)>>,
    mint: Mint,
    /// The zero of the tokens' clock.
    began: Instant,
    sessions: Sessions,
    streams: Places,
    connections: Rc<Connections>,
    in_front: InFrontTroubles,
    circle: Circle,
    /// Sessions and streams that are still to come are refused: the proxy is stopping.
    is_closed: Cell<bool>,
}

/// The parts that a [`WebContext`] is made of.
pub(crate) struct WebParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) http: Rc<HttpContext>,
    pub(crate) metrics: Rc<Metrics>,
    /// Knows the relays of `--proxy-protocol`.
    pub(crate) gate: Rc<Gate>,
    /// Serves a stream to its end in tasks of its own, as `client::serve_stream` does.
    pub(crate) serve: Box<dyn Fn(WebArrival)>,
    pub(crate) clients: Live<ClientConfig>,
    /// Of HTTP, at a time: carriers, and those of who sees the site.
    pub(crate) connections: usize,
    /// The hosts and their secrets.
    pub(crate) config: Live<WebConfig>,
    /// The route and the tag of the streams' clients.
    pub(crate) doors: Live<DoorConfig>,
}

impl WebContext {
    /// It follows its config from here on.
    pub(crate) fn new(parts: WebParts) -> Rc<Self> {
        let most = parts.clients.with(|config| config.max_clients);
        let mut key = [0; 32];
        fill_random(&mut key);
        let (reactor, executor) = (parts.reactor, parts.executor);
        let context = Rc::new(Self {
            http: parts.http,
            began: reactor.now(),
            sessions: Sessions::new(limits::sessions(most), reactor.now()),
            streams: Places::new(limits::streams(most)),
            connections: Connections::new(parts.connections),
            in_front: InFrontTroubles::default(),
            circle: Circle::default(),
            executor: executor.clone(),
            reactor,
            buffers: parts.buffers,
            scratch: parts.scratch,
            metrics: parts.metrics,
            gate: parts.gate,
            serve: parts.serve,
            config: parts.config,
            doors: parts.doors,
            hosts: RefCell::default(),
            covers: RefCell::default(),
            mint: Mint::new(&key),
            is_closed: Cell::new(false),
        });
        context.take_config();
        executor.spawn(context.clone().follow_config()).detach();
        executor
            .spawn(context.clone().look_after_sessions())
            .detach();
        context
    }

    /// What strangers see from here on, at each host and at other names.
    pub(crate) fn set_covers(&self, covers: Vec<(Option<HostName>, Rc<Cover>)>) {
        self.covers.replace(covers);
        self.circle.begin_anew();
    }

    /// The places at sites are all taken, and it may be for a circle.
    pub(crate) fn suspect_circle(&self) {
        self.circle.ask_again();
    }

    /// Serves a connection of HTTP to its end, of which `received` has been read.
    #[cfg(test)]
    pub(crate) async fn serve(
        self: Rc<Self>,
        connection: Rc<crate::http::Connection>,
        received: Vec<u8>,
        peer: crate::client::Peer,
    ) {
        let door = Live::new(crate::config::WebListen {
            addr: peer.local,
            optional: false,
            trust: Vec::new(),
            header: String::new(),
        });
        let origin = server::Origin::Behind(in_front::InFront {
            peer,
            door,
            is_told: false,
        });
        let seated = self.connections.take();
        server::serve(self, connection, received, origin, seated).await;
    }

    /// Serves a connection of HTTP at a port of clients to its end; the handshake is done.
    #[cfg(feature = "tls")]
    pub(crate) async fn serve_at_door(
        self: Rc<Self>,
        connection: Rc<Connection>,
        peer: Peer,
        standing: Rc<WebStanding>,
    ) {
        let standing = server::Standing::new(standing);
        let origin = server::Origin::Door(peer, standing);
        server::serve(self, connection, Vec::new(), origin, None).await;
    }

    /// Lets nobody begin a session or a stream any more: the proxy is stopping.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
    }

    /// Ends each web session as soon as no client uses it, until there is none: its app
    /// begins another one elsewhere then. The proxy is stopping, and clients are let finish.
    pub(crate) async fn end_idle(self: Rc<Self>) {
        loop {
            let sessions = self.sessions.all();
            if sessions.is_empty() {
                return;
            }
            for session in sessions.iter().filter(|session| session.is_idle()) {
                session.end(WebEnd::Shutdown);
            }
            drop(sessions);
            self.reactor.sleep(LOOK).await;
        }
    }

    /// Ends every web session once its app has taken what there is for it, and lets
    /// carriers say so; within [`LAST_TAKEN`] and [`LAST_SAID`].
    pub(crate) async fn end_all(&self) {
        self.close();
        let sessions = self.sessions.all();
        let is_taken = || sessions.iter().all(|session| session.is_taken());
        self.look_until(LAST_TAKEN, is_taken).await;
        for session in &sessions {
            session.end(WebEnd::Shutdown);
        }
        let left: Vec<_> = sessions.iter().map(Rc::downgrade).collect();
        drop(sessions);
        let is_said = || left.iter().all(|session| session.strong_count() == 0);
        self.look_until(LAST_SAID, is_said).await;
    }

    /// Until it holds, or `limit` is over.
    async fn look_until(&self, limit: Duration, holds: impl Fn() -> bool) {
        let end = self.reactor.now() + limit;
        while !holds() && self.reactor.now() < end {
            self.reactor.sleep(LOOK).await;
        }
    }

    /// What a reload has changed of how much there may be; who is there stays.
    pub(crate) fn set_most(&self, max_clients: usize, connections: usize) {
        self.sessions.set_most(limits::sessions(max_clients));
        self.streams.set_most(limits::streams(max_clients));
        self.connections.set_most(connections);
    }

    /// A stream that an app has opened.
    fn serve_stream(&self, session: &Rc<Session>, end: End) {
        let Access { host, bridge } = &session.access;
        self.metrics.web_streams.inc();
        (self.serve)(WebArrival {
            peer: session.peer,
            rules: host.rules.clone(),
            secret: bridge.key.secret,
            padded_only: bridge.padded_only,
            end: Box::new(end),
        });
    }

    /// One of these is over.
    fn stream_is_over(&self) {
        self.metrics.web_streams.dec();
        self.streams.give_back();
    }

    fn hosts(&self) -> Rc<Hosts> {
        self.hosts.borrow().clone()
    }

    /// What strangers see who ask for a host by this name.
    fn cover(&self, host: &[u8]) -> Option<Rc<Cover>> {
        let covers = self.covers.borrow();
        let mut own = covers.iter();
        let own = own.find(|(name, _)| name.as_ref().is_some_and(|name| name.is_host(host)));
        let other = || covers.iter().find(|(name, _)| name.is_none());
        own.or_else(other).map(|(_, cover)| cover.clone())
    }

    /// Of the tokens, in seconds.
    fn token_time(&self) -> u32 {
        (self.reactor.now() - self.began).as_secs() as u32
    }

    fn take_config(&self) {
        let hosts = self.config.with(|config| {
            let doors = self.doors.get();
            Hosts::new(config, &doors, &self.mint, &self.hosts.borrow())
        });
        self.hosts.replace(Rc::new(hosts));
        let hosts = self.hosts();
        for session in self.sessions.all() {
            if hosts.access(session.access.bridge.id).is_none() {
                session.end(WebEnd::SecretRemoved);
            }
        }
    }

    async fn follow_config(self: Rc<Self>) {
        let (mut config, mut doors) = (self.config.get(), self.doors.get());
        loop {
            let one = self.config.after(&config);
            let other = self.doors.after(&doors);
            smol::future::or(async { drop(one.await) }, async { drop(other.await) }).await;
            (config, doors) = (self.config.get(), self.doors.get());
            self.take_config();
        }
    }
}
