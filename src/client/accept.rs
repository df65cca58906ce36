use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smol::Task;
use smol::future::FutureExt;

use super::farewell;
use super::fronting::{Opening, Reserve, SiteRelay};
use super::handshake::{Accepted, handshake};
use super::registry::{Place, SessionPlace};
use super::session::Client;
use super::sites::{MOST_UNREAD, SiteVisit};
use super::visit::{Peer, Visit};
use super::{ClientContext, Rules};
use crate::config::Reset;
use crate::guard::gate::Arrival;
use crate::log::{LogLevel, is_enabled};
use crate::metrics::RejectReason;
use crate::net::{BACKLOG, Listener, Socket};
use crate::wire::fake_tls::DECODE_ERROR_ALERT;
use crate::wire::secret::Secret;

/// How long accepting rests when descriptors ran out and no client leaves.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a listener goes by now.
struct Board {
    rules: RefCell<Rc<Rules>>,
    /// Some of its addresses, with what they go by: of other listeners, or its own.
    parts: RefCell<Vec<(SocketAddr, Rc<Board>)>>,
    /// They are its own, and it is there for these alone.
    parts_only: Cell<bool>,
}

impl Board {
    fn new(rules: Rules) -> Rc<Self> {
        Rc::new(Self {
            rules: RefCell::new(Rc::new(rules)),
            parts: RefCell::default(),
            parts_only: Cell::new(false),
        })
    }

    fn post(&self, rules: &Rc<Rules>) {
        let old = self.rules.replace(rules.clone());
        old.replaced_by(rules);
    }

    fn rules_for(&self, socket: &Socket) -> Option<Rc<Rules>> {
        let parts = self.parts.borrow();
        let local = || socket.local_address().ok();
        let local = (!parts.is_empty()).then(local).flatten();
        let part = parts.iter().find(|(address, _)| Some(*address) == local);
        match part {
            Some((_, part)) => Some(part.rules.borrow().clone()),
            None if self.parts_only.get() => None,
            None => Some(self.rules.borrow().clone()),
        }
    }
}

/// A listener that accepts. Dropping it closes the listening socket; its
/// clients stay.
pub struct ListenerHandle {
    address: SocketAddr,
    listener: Rc<Listener>,
    context: Rc<ClientContext>,
    board: Rc<Board>,
    accepting: Option<Task<()>>,
}

impl ListenerHandle {
    /// Where it really listens, if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn socket(&self) -> &Rc<Listener> {
        &self.listener
    }

    /// Other rules for the clients that come from now on.
    pub fn set_rules(&self, rules: Rules) {
        let rules = Rc::new(rules);
        self.board.post(&rules);
        let parts = self.board.parts.take();
        if self.board.parts_only.replace(false) {
            for (_, part) in parts {
                part.post(&rules);
            }
        }
    }

    /// It is to be closed. From now on it takes no secret but these, and whoever
    /// comes to an address of `others` for those.
    pub fn retire<'a>(
        &self,
        is_kept: impl Fn(&Secret) -> bool,
        others: impl Iterator<Item = &'a Self>,
    ) {
        let mut rules = Rules::clone(&self.board.rules.borrow());
        rules.secrets.retain(|named| is_kept(&named.secret.key));
        self.set_rules(rules);
        let others = others.map(|other| (other.address, other.board.clone()));
        self.board.parts.replace(others.collect());
    }

    /// From now on it takes clients at these of its addresses, and whoever comes
    /// to another is reset.
    pub fn stand_in(
        &self,
        is_kept: impl Fn(&Secret) -> bool,
        parts: impl Iterator<Item = (SocketAddr, Rules)>,
    ) {
        self.retire(is_kept, [].into_iter());
        let parts = parts.map(|(address, rules)| (address, Board::new(rules)));
        self.board.parts.replace(parts.collect());
        self.board.parts_only.set(true);
    }

    /// Accepts no more, but for those who have been let in by the kernel. The
    /// socket goes on listening until it is dropped.
    pub async fn close(mut self) -> Rc<Listener> {
        if let Some(accepting) = self.accepting.take() {
            accepting.cancel().await;
        }
        for _ in 0..=BACKLOG {
            let Some(socket) = self.listener.accept_waiting() else {
                break;
            };
            take(&self.context, socket, &self.board);
        }
        self.listener.clone()
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        self.context.sites.not_listening(self.address);
    }
}

/// Starts to accept clients from `listener`.
pub fn listen(context: &Rc<ClientContext>, listener: Rc<Listener>, rules: Rules) -> ListenerHandle {
    let address = listener.address();
    let board = Board::new(rules);
    context.sites.listening(address);
    let accepting = accept(context.clone(), listener.clone(), board.clone());
    ListenerHandle {
        address,
        listener,
        context: context.clone(),
        board,
        accepting: Some(context.executor.spawn_patient(accepting)),
    }
}

async fn accept(context: Rc<ClientContext>, listener: Rc<Listener>, board: Rc<Board>) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                take(&context, socket, &board);
                // Who was pushed out by it goes before the next one comes.
                smol::future::yield_now().await;
            }
            Err(error) => pause(&context, &error).await,
        }
    }
}

fn take(context: &Rc<ClientContext>, socket: Socket, board: &Board) {
    let Some(rules) = board.rules_for(&socket) else {
        let _ = socket.set_reset_on_close();
        return;
    };
    context.metrics.accepted.inc();
    let Some(peer) = Peer::of(&socket) else {
        return context.metrics.client_rejected(RejectReason::Abandoned);
    };
    let Some(place) = Place::take(context, peer) else {
        context
            .metrics
            .client_rejected(RejectReason::TooManyClients);
        if context.limits.get().reset != Reset::Never {
            let _ = socket.set_reset_on_close();
        }
        let_go(context, &socket);
        return log_full_house(context);
    };
    let arriving = arrive(place, socket, rules);
    context.executor.spawn_patient(arriving).detach();
}

/// The peer is to see an end, also if something of its was not read.
fn let_go(context: &ClientContext, socket: &Socket) {
    let scratch = &context.scratch;
    scratch.with(|buffer| socket.discard_waiting(buffer));
}

fn log_full_house(context: &ClientContext) {
    if let Some(skipped) = context.accept_log.pass() {
        let limits = context.limits.get();
        let count = limits.max_clients;
        match limits.open_files {
            Some(files) => warn!(
                "{count} clients are connected, as many as the limit of {files} open files has room \
                 for, closing new ones{skipped}; raise it (LimitNOFILE= in systemd, nofile on \
                 OpenWrt, ulimit -n) or add a server"
            ),
            None => warn!(
                "--max-clients are connected, closing new ones{skipped}; raise it or add a server"
            ),
        }
    }
}

/// Descriptors or memory of the kernel ran out: a client that leaves gives
/// some back.
async fn pause(context: &ClientContext, error: &io::Error) {
    context.metrics.accept_pauses.inc();
    if let Some(skipped) = context.accept_log.pass() {
        warn!(
            "cannot accept clients: {error}{skipped}; raise the limit of open files (ulimit -n, LimitNOFILE=; of the system fs.file-max) or lower --max-clients"
        );
    }
    let left = context.registry.one_left();
    context.reactor.timeout(ACCEPT_PAUSE, left).await;
}

/// A connection from its first byte to its session or, if it never is a
/// client's, to its last.
async fn arrive(place: Place, socket: Socket, rules: Rc<Rules>) {
    // In a box, so that a site's visitor does not keep its beginning's memory.
    match Box::pin(enter(&place, socket, rules)).await {
        Some(Entered::Client(client)) => {
            let executor = place.context().executor.clone();
            if let Some(place) = place.into_session() {
                executor.spawn(stay(place, client)).detach();
            }
        }
        Some(Entered::Stranger(relay)) => relay.run().or(evicted(&place)).await,
        None => {}
    }
}

pub(super) async fn stay(place: SessionPlace, client: Client) {
    client.run().await;
    drop(place);
}

pub(super) enum Entered {
    Client(Client),
    Stranger(Box<SiteRelay>),
}

pub(super) async fn enter(place: &Place, socket: Socket, rules: Rc<Rules>) -> Option<Entered> {
    let context = place.context();
    let visit = Visit {
        context,
        place,
        socket: &socket,
        rules: &rules,
        peer: Cell::new(place.peer),
        proven: Cell::new(None),
        has_uptime: Cell::new(false),
        is_over: Cell::new(false),
        at_site: Cell::default(),
    };
    let Some(admitted) = admit(&visit).await else {
        let_go(context, &socket);
        return None;
    };
    let peer = visit.peer.get();
    socket.set_nodelay();
    socket.set_keepalive(context.limits.get().keepalive);
    Some(match admitted {
        Admitted::Client(accepted) => {
            Entered::Client(Client::open(context, socket, peer, &rules, accepted).await?)
        }
        Admitted::Stranger(site, first) => {
            Entered::Stranger(SiteRelay::new(context, socket, site, &first))
        }
    })
}

enum Admitted {
    Client(Accepted),
    /// To the site, with the bytes that it has not got.
    Stranger(SiteVisit, Vec<u8>),
}

async fn admit(visit: &Visit<'_>) -> Option<Admitted> {
    let context = visit.context;
    let started = context.reactor.now();
    let opening = Opening::default();
    let limit = context.limits.get().handshake_timeout;
    let reserve = Reserve::new(visit, &opening);
    let arrived = arrive_at_door(visit).await;
    context.metrics.handshaking.inc();
    let outcome = match arrived {
        Ok(()) => {
            // By reference: a future that is handed on by value has room twice.
            let proving = pin!(prove(visit, &opening));
            reserve.watch(limit, proving).await
        }
        Err(reason) => Err(reason),
    };
    context.metrics.handshaking.dec();
    let time = context.reactor.now().duration_since(started);
    let reason = match outcome {
        Ok(accepted) => {
            context.metrics.client_joined(accepted.kind(), time);
            log_admission(visit, &accepted);
            return Some(Admitted::Client(accepted));
        }
        Err(reason) => reason,
    };
    if !visit.is_over.get() {
        reject(visit, reason);
    }
    let site = Box::pin(reserve.take_over(reason).or(async {
        evicted(visit.place).await;
        None
    }));
    if let Some((site, rest)) = site.await {
        visit.place.go_to_site();
        debug!(
            "{}: {} sees {site}",
            visit.rules.name,
            visit.peer.get().client
        );
        return Some(Admitted::Stranger(site, rest));
    }
    if context.limits.get().reset != Reset::Never {
        // It fails if the peer was faster.
        let _ = visit.socket.set_reset_on_close();
        return None;
    }
    if opening.manners().is_some() {
        let end = started + opening.patience(limit);
        let says = farewell::say(context, visit.socket, &opening, reason, end);
        // In a box, which few get to need.
        Box::pin(says.or(evicted(visit.place))).await;
        return None;
    }
    drop(opening);
    let time = context.reactor.now().duration_since(started);
    let left = limit.saturating_sub(time);
    let away = turn_away(context, visit.socket, reason).or(evicted(visit.place));
    let away = pin!(away);
    context.reactor.timeout(left, away).await;
    None
}

/// Until it may begin to prove itself or, over the flood limit, has a place at the
/// site.
async fn arrive_at_door(visit: &Visit<'_>) -> Result<(), RejectReason> {
    let arriving = async { visit.arrive().await };
    let pushed_out = async {
        evicted(visit.place).await;
        Err(RejectReason::Evicted)
    };
    if arriving.or(pushed_out).await? == Arrival::Within {
        return Ok(());
    }
    let context = visit.context;
    reject(visit, RejectReason::Flood);
    if !context.sites.is_on() {
        return Err(RejectReason::Flood);
    }
    // In a box, which few get to need.
    let place = Box::pin(context.sites.place_in_crowd(visit.socket).or(async {
        evicted(visit.place).await;
        None
    }));
    visit
        .at_site
        .set(Some(place.await.ok_or(RejectReason::Abandoned)?));
    Ok(())
}

fn reject(visit: &Visit<'_>, reason: RejectReason) {
    visit.context.metrics.client_rejected(reason);
    log_rejection(visit, reason);
    visit.place.give_up_hope(visit.peer.get());
}

/// The handshake, as long as it may keep its place.
async fn prove(visit: &Visit<'_>, opening: &Opening) -> Result<Accepted, RejectReason> {
    let shaking = async { handshake(visit, opening).await };
    let pushed_out = async {
        evicted(visit.place).await;
        Err(RejectReason::Evicted)
    };
    shaking.or(pushed_out).await
}

async fn evicted(place: &Place) {
    poll_fn(|cx| place.poll_evicted(cx)).await;
}

/// What a peer sees that is not a client of ours where there is no site to
/// show. Other than by a malformed hello it is not told anything: the connection stays open, as that of a
/// server with nothing to say, until the peer leaves or the time is up.
async fn turn_away(context: &ClientContext, socket: &Socket, reason: RejectReason) {
    match reason {
        RejectReason::BadHello | RejectReason::NoServerName => {
            let told = socket.write_all(&DECODE_ERROR_ALERT).await;
            // Closing with something unread would take the alert back.
            if told.and_then(|()| socket.shutdown_write()).is_ok() {
                discard(context, socket).await;
            }
        }
        RejectReason::Abandoned
        | RejectReason::TimedOut
        | RejectReason::Evicted
        | RejectReason::TooManyClients
        | RejectReason::BadProxyHeader => {}
        // As if it were not accepted.
        RejectReason::Flood => {
            let _ = poll_fn(|cx| socket.poll_filled(cx, MOST_UNREAD)).await;
        }
        _ => discard(context, socket).await,
    }
}

async fn discard(context: &ClientContext, socket: &Socket) {
    poll_fn(|cx| {
        let read = context.scratch.with(|buffer| socket.poll_read(cx, buffer));
        match read {
            Some(Poll::Ready(Ok(length))) if length > 0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(read) => read.map(|_| ()),
            None => Poll::Ready(()),
        }
    })
    .await;
}

fn log_admission(visit: &Visit<'_>, accepted: &Accepted) {
    if is_enabled(LogLevel::Debug) {
        let rules = visit.rules;
        let name = rules.secrets.get(accepted.secret).map(|named| &*named.name);
        let (name, kind) = (name.unwrap_or_default(), accepted.kind());
        let dc = accepted.header.dc;
        let peer = visit.peer.get().client;
        debug!(
            "{}: {peer} is a client of {name}, {kind}, for DC {dc}",
            rules.name
        );
    }
}

fn log_rejection(visit: &Visit<'_>, reason: RejectReason) {
    let peer = visit.peer.get().client;
    if reason == RejectReason::TooManyClients {
        log_full_house(visit.context);
    }
    if reason == RejectReason::BadProxyHeader
        && let Some(skipped) = visit.context.relay_log.pass()
    {
        warn!("{peer}: {reason}{skipped}");
    }
    visit.context.turned_away.tell(reason, visit.secret());
    if is_enabled(LogLevel::Debug) {
        debug!("{}: {peer} is no client: {reason}", visit.rules.name);
    }
}
