use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smol::Task;

use super::handshake::{Accepted, handshake};
use super::registry::Place;
use super::session::Client;
use super::{ClientContext, Rules};
use crate::log::{LogLevel, is_enabled};
use crate::metrics::RejectReason;
use crate::net::{Listener, Socket, spawn};
use crate::wire::fake_tls::DECODE_ERROR_ALERT;

/// How long accepting rests when descriptors ran out and no client leaves.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

type SharedRules = Rc<RefCell<Rc<Rules>>>;

/// A listener that accepts. Dropping it closes the listening socket; its
/// clients stay.
pub struct ListenerHandle {
    address: SocketAddr,
    rules: SharedRules,
    _accepting: Task<()>,
}

impl ListenerHandle {
    /// Where it really listens, if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Other rules for the clients that come from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.replace(Rc::new(rules));
    }
}

/// Starts to accept clients at `address`.
pub fn listen(
    context: &Rc<ClientContext>,
    address: SocketAddr,
    rules: Rules,
) -> io::Result<ListenerHandle> {
    let listener = Listener::bind(&context.reactor, address)?;
    let address = listener.local_address()?;
    let rules: SharedRules = Rc::new(RefCell::new(Rc::new(rules)));
    let accepting = accept(context.clone(), listener, rules.clone());
    Ok(ListenerHandle {
        address,
        rules,
        _accepting: spawn(&context.executor, accepting),
    })
}

async fn accept(context: Rc<ClientContext>, listener: Listener, rules: SharedRules) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                context.metrics.accepted.inc();
                let rules = rules.borrow().clone();
                start(&context, socket, rules);
            }
            Err(error) => pause(&context, &error).await,
        }
    }
}

fn start(context: &Rc<ClientContext>, socket: Socket, rules: Rc<Rules>) {
    let Some(place) = Place::take(context) else {
        context
            .metrics
            .client_rejected(RejectReason::TooManyClients);
        if let Some(more) = context.accept_log.pass() {
            warn!(
                "--max-clients are connected, closing new ones ({more} more before); raise it or add a server"
            );
        }
        return;
    };
    let options = socket
        .set_nodelay()
        .and_then(|()| socket.set_keepalive(context.limits.get().keepalive));
    if options.is_ok() {
        spawn(&context.executor, client(place, socket, rules)).detach();
    } else {
        // It is gone already.
        context.metrics.client_rejected(RejectReason::Abandoned);
    }
}

/// Descriptors or memory of the kernel ran out: a client that leaves gives
/// some back.
async fn pause(context: &ClientContext, error: &io::Error) {
    context.metrics.accept_pauses.inc();
    if let Some(more) = context.accept_log.pass() {
        warn!(
            "cannot accept clients: {error} ({more} more times before); raise the limit of open files (ulimit -n, LimitNOFILE=) or set --max-clients"
        );
    }
    let left = context.registry.one_left();
    context.reactor.timeout(ACCEPT_PAUSE, left).await;
}

/// A connection from its first byte to its last.
pub(super) async fn client(place: Place, socket: Socket, rules: Rc<Rules>) {
    // In a box, so that a session does not keep the memory of its beginning.
    let client = Box::pin(enter(place.context(), socket, rules)).await;
    if let Some(client) = client {
        client.run().await;
    }
}

async fn enter(context: &Rc<ClientContext>, socket: Socket, rules: Rc<Rules>) -> Option<Client> {
    let accepted = admit(context, &socket, &rules).await?;
    Client::open(context, socket, &rules, accepted).await
}

async fn admit(context: &ClientContext, socket: &Socket, rules: &Rules) -> Option<Accepted> {
    let started = context.reactor.now();
    context.metrics.handshaking.inc();
    let mut received = Vec::new();
    let limit = context.limits.get().handshake_timeout;
    let shaking = handshake(socket, rules, &mut received);
    let outcome = context.reactor.timeout(limit, shaking).await;
    context.metrics.handshaking.dec();
    let time = context.reactor.now().duration_since(started);
    let reason = match outcome {
        Some(Ok(accepted)) => {
            context.metrics.client_joined(accepted.kind(), time);
            log_admission(socket, rules, &accepted);
            return Some(accepted);
        }
        Some(Err(reason)) => reason,
        None => RejectReason::TimedOut,
    };
    context.metrics.client_rejected(reason);
    log_rejection(socket, rules, reason);
    drop(received);
    let left = limit.saturating_sub(time);
    context
        .reactor
        .timeout(left, turn_away(context, socket, reason))
        .await;
    None
}

/// What a peer sees that is not a client of ours. Other than by a malformed
/// hello it is not told anything: the connection stays open, as that of a
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
        RejectReason::Abandoned | RejectReason::TimedOut => {}
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

fn log_admission(socket: &Socket, rules: &Rules, accepted: &Accepted) {
    if is_enabled(LogLevel::Debug) {
        let name = rules.secrets.get(accepted.secret).map(|named| &*named.name);
        let (name, kind) = (name.unwrap_or_default(), accepted.kind());
        let dc = accepted.header.dc;
        let peer = peer_of(socket);
        debug!(
            "{}: {peer} is a client of {name}, {kind}, for DC {dc}",
            rules.name
        );
    }
}

fn log_rejection(socket: &Socket, rules: &Rules, reason: RejectReason) {
    if is_enabled(LogLevel::Debug) {
        debug!("{}: {} is no client: {reason}", rules.name, peer_of(socket));
    }
}

pub(super) fn peer_of(socket: &Socket) -> String {
    let peer = socket.peer_address();
    peer.map_or_else(|_| "a peer".into(), |address| address.to_string())
}
