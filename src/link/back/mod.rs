//! The back's half: takes links, and opens the sessions that fronts ask for.
//!
//! | File | What |
//! |---|---|
//! | `fronts.rs` | which fronts there are, and who gives way when they want too much |
//! | `link.rs` | one link, and the streams on it |
//! | `shown.rs` | what the operator sees of them |
//! | `desk.rs` | what a link and its streams have in common |
//! | `stream.rs` | one client's session: what Telegram has for it goes to the front |
//! | `open_session.rs` | opens that session |
//! | `tie.rs` | what a stream has of its link |
//! | `taker.rs` | who takes what a front sends for a stream: one of the next three |
//! | `early.rs` | keeps it until the session is there |
//! | `packets.rs` | makes packets of it |
//! | `line.rs` | sends it on a DC's own connection |
//! | `wish.rs` | a large packet that waits for buffers, or is under way |
//! | `signal.rs` | a waker that leaves a mark |

mod desk;
mod early;
mod fronts;
mod line;
mod link;
mod open_session;
mod packets;
#[cfg(feature = "ctl")]
mod shown;
mod signal;
mod stream;
mod taker;
mod tie;
mod wish;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::Task;

use super::driver::LinkDriver;
use super::fault::Fault;
use super::handshake::{Greeted, Part, shake};
use super::security::Security;
use super::{HANDSHAKE_LIMIT, LinkContext, prepare};
use crate::backend::Backend;
use crate::config::shown;
use crate::guard::acquaintances::Acquaintances;
use crate::guard::half_open::{HalfOpen, Hope, Origin};
use crate::log::{Address, Throttle, Throttles};
use crate::metrics::{LinkEnd, Reason};
use crate::net::{Listener, Notify, Socket};
use crate::wire::link::Refusal;
use fronts::Fronts;
use link::BackLink;

/// How long links get to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Between lines about strangers.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Opens sessions of a local backend for fronts.
pub(crate) struct Back {
    context: Rc<LinkContext>,
    security: RefCell<Rc<Security>>,
    backend: Rc<dyn Backend>,
    half_open: Rc<HalfOpen>,
    /// Where links came from lately: these go before strangers when places are short.
    acquaintances: RefCell<Acquaintances>,
    started: Instant,
    fronts: Rc<Fronts>,
    changed: Notify,
    cannot_accept: Throttle,
    trials: Throttle,
    /// One for each reason, so that what strangers do hides no front that is set up
    /// wrongly.
    complaints: Throttles,
}

/// Accepts links until it is dropped.
pub(crate) struct BackListener {
    listener: Rc<Listener>,
    back: Rc<Back>,
    /// The addresses of the listener at which it takes links; empty: at all.
    parts: Rc<RefCell<Vec<SocketAddr>>>,
    accepting: Task<()>,
}

impl Back {
    pub(crate) fn new(
        context: LinkContext,
        security: Security,
        backend: Rc<dyn Backend>,
    ) -> Rc<Self> {
        Rc::new(Self {
            fronts: Fronts::new(&context),
            started: context.reactor.now(),
            half_open: HalfOpen::new(context.places.seats),
            context: Rc::new(context),
            security: RefCell::new(Rc::new(security)),
            backend,
            acquaintances: RefCell::default(),
            changed: Notify::default(),
            cannot_accept: Throttle::new(LOG_PERIOD),
            trials: Throttle::new(LOG_PERIOD),
            complaints: Throttles::new(LinkEnd::ALL.len(), LOG_PERIOD),
        })
    }

    /// Starts to accept links from `listener`.
    pub(crate) fn listen(self: &Rc<Self>, listener: Rc<Listener>) -> BackListener {
        let parts: Rc<RefCell<Vec<SocketAddr>>> = Rc::default();
        let accepting = self.clone().accept(listener.clone(), parts.clone());
        BackListener {
            parts,
            listener,
            back: self.clone(),
            accepting: self.context.executor.spawn_patient(accepting),
        }
    }

    /// What links that are made now are secured with.
    pub(crate) fn security(&self) -> Rc<Security> {
        self.security.borrow().clone()
    }

    /// Secures links that are made from now on, and ends those whose certificates are
    /// refused.
    pub(crate) fn reconfigure(&self, security: Security) {
        let security = Rc::new(security);
        self.security.replace(security.clone());
        #[cfg(feature = "tls")]
        for link in self.fronts.links() {
            let connection = link.connection();
            if security.refuses(connection.fingerprints) {
                connection.fail(Fault::Revoked(connection.share.name().to_owned()));
            }
        }
    }

    /// Ends every session and link.
    pub(crate) async fn close(&self) {
        for link in self.fronts.links() {
            link.connection().fail(Fault::Shutdown);
        }
        let gone = self.changed.until(|| self.fronts.links().is_empty());
        self.context.reactor.timeout(GOODBYE, gone).await;
    }

    fn take(self: &Rc<Self>, socket: Socket, parts: &[SocketAddr]) {
        let is_part = |local| parts.contains(&local);
        if !parts.is_empty() && !socket.local_address().is_ok_and(is_part) {
            let _ = socket.set_reset_on_close();
            return;
        }
        // It is a stranger, whom the links that are there must not wait for.
        let serving = self.clone().serve(socket);
        self.context.executor.spawn_patient(serving).detach();
    }

    async fn accept(self: Rc<Self>, listener: Rc<Listener>, parts: Rc<RefCell<Vec<SocketAddr>>>) {
        let take = |socket| self.take(socket, &parts.borrow());
        let trouble = |error: &io::Error| {
            if let Some(skipped) = self.cannot_accept.pass(self.context.reactor.now()) {
                warn!(
                    "cannot accept links: {error}{skipped}; raise the limit of open files (ulimit -n, LimitNOFILE=; of the system fs.file-max)"
                );
            }
            pending::<()>()
        };
        listener.take_all(ACCEPT_PAUSE, take, trouble).await;
    }

    async fn serve(self: Rc<Self>, socket: Socket) {
        let Ok(peer) = socket.peer_address() else {
            return self.context.metrics.link_ends.inc(LinkEnd::Broken);
        };
        let origin = Origin::of(peer.ip());
        match self.greet(socket, origin).await {
            Ok(greeted) if greeted.is_trial => self.answer_trial(greeted),
            Ok(greeted) => {
                let seconds = self.seconds();
                self.acquaintances.borrow_mut().meet(origin, seconds);
                let back = self.clone();
                let driving = async move { back.drive(greeted).await };
                self.context.executor.spawn(driving).detach();
            }
            Err(fault) => {
                self.context.metrics.link_ends.inc(fault.reason());
                self.complain(peer.into(), &fault);
            }
        }
    }

    /// A front's `check`: it would get a link, or there is no room for one. It takes
    /// nobody's place.
    fn answer_trial(&self, greeted: Greeted) {
        let Greeted { name, peer, .. } = &greeted;
        let refusal = match self.fronts.has_room(name) {
            true => Refusal::Shutdown,
            false => Refusal::TooMany,
        };
        let name = shown(name);
        match (refusal, self.trials.pass(self.context.reactor.now())) {
            (Refusal::TooMany, Some(skipped)) => {
                warn!(
                    "{peer} ({name}) asks by `check`: {}{skipped}",
                    Fault::TooMany
                );
            }
            (_, Some(skipped)) => {
                info!("{peer} ({name}) asks by `check`: it would get a link{skipped}");
            }
            (_, None) => {}
        }
        greeted.close(&self.context, refusal);
    }

    fn complain(&self, peer: Address, fault: &Fault) {
        let now = self.context.reactor.now();
        let passed = self.complaints.pass(fault.reason().index(), now);
        say!(passed, Warn, "{peer} gets no link: {fault}");
    }

    async fn greet(&self, socket: Socket, origin: Origin) -> Result<Greeted, Fault> {
        prepare(&socket, &self.context.silence);
        let is_known = self.acquaintances.borrow().knows(origin, self.seconds());
        let seat = self.half_open.enter(origin, is_known);
        let security = self.security.borrow().clone();
        let shaking = async {
            // Who says nothing yet costs no memory for a handshake.
            let said = poll_fn(|cx| socket.poll_peek(cx, &mut [0]));
            said.await.map_err(Fault::Broken)?;
            let begun = || seat.set_hope(Hope::Begun);
            // In a box, so that its memory is free again when the handshake is over.
            let part = Part::Back {
                lacks_middle: !self.backend.has_middle(),
            };
            Box::pin(shake(&self.context, &security, part, socket, &begun)).await
        };
        let evicted = async {
            seat.evicted().await;
            Err(Fault::PushedOut)
        };
        let reactor = &self.context.reactor;
        let shaking = smol::future::or(shaking, evicted);
        let shaken = reactor.timeout(HANDSHAKE_LIMIT, shaking).await;
        shaken.unwrap_or(Err(Fault::HandshakeTimeout))
    }

    /// The time as [`Acquaintances`] counts it.
    fn seconds(&self) -> u64 {
        let now = self.context.reactor.now();
        now.duration_since(self.started).as_secs()
    }

    async fn drive(self: Rc<Self>, greeted: Greeted) {
        let share = self.fronts.share(&greeted.name);
        let said_middle = greeted.hears_middle.then_some(!greeted.lacks_middle);
        let (connection, mut driver) = LinkDriver::new(&self.context, greeted, share);
        let how = connection.outlet.name();
        let link = BackLink::new(self.backend.clone(), &self.fronts, connection);
        link.said_middle.set(said_middle);
        let peer = link.connection.peer;
        self.context.metrics.links.inc();
        let has_place = self.fronts.add(link.clone());
        if has_place {
            info!("linked to the front {peer} ({how})");
        }
        let fault = driver.run(&link).await;
        self.context.metrics.links.dec();
        self.fronts.remove(&*link);
        let clients = link.lose();
        match has_place {
            true => info!(
                "the link to the front {peer} is lost: {fault}; its {clients} clients are dropped"
            ),
            false => self.complain(peer, &fault),
        }
        self.changed.notify();
        self.context.metrics.link_ends.inc(fault.reason());
    }
}

impl BackListener {
    pub(crate) fn socket(&self) -> &Rc<Listener> {
        &self.listener
    }

    /// From now on it takes links at these of its addresses, and whoever comes to
    /// another is reset. An empty list stands for all.
    pub(crate) fn set_parts(&self, parts: Vec<SocketAddr>) {
        self.parts.replace(parts);
    }

    /// Accepts nobody more but those whom the kernel has let in already. The socket
    /// goes on listening until it is dropped.
    pub(crate) async fn close(self) -> Rc<Listener> {
        self.accepting.cancel().await;
        let take = |socket| self.back.take(socket, &self.parts.borrow());
        self.listener.take_waiting(take);
        self.listener
    }
}
