//! What a connection is: a client, a stranger for the site, or nobody.

use std::cell::Cell;
use std::future::poll_fn;
#[cfg(feature = "tls")]
use std::mem;
use std::pin::pin;
#[cfg(feature = "tls")]
use std::rc::Rc;
use std::task::Poll;
#[cfg(feature = "tls")]
use std::time::Instant;

use smol::future::FutureExt;

use super::accepted::Accepted;
use super::arrival::Arrival;
use super::farewell;
use super::handshake::handshake;
use super::opening::Opening;
#[cfg(feature = "tls")]
use super::peer::Peer;
use super::registry::Place;
use super::rules::{Rules, RulesAtArrival};
use super::session::Client;
use super::site_relay::SiteRelay;
#[cfg(feature = "tls")]
use super::sites::Guest;
use super::sites::{MAX_UNREAD, SiteVisit};
use super::standby::SiteStandby;
#[cfg(feature = "tls")]
use super::web_door::WebDoor;
use super::{ClientContext, KEEPALIVE};
use crate::config::Reset;
use crate::connection::ClientEnd;
use crate::guard::gate::FloodState;
use crate::log::{Address, LogLevel, is_enabled};
use crate::metrics::RejectReason;
use crate::net::{Live, Socket};
#[cfg(feature = "tls")]
use crate::wire::client_hello::{self, Parsed};
use crate::wire::fake_tls::DECODE_ERROR_ALERT;

/// What goes on of a connection.
pub(super) enum Entered {
    Client(Client),
    Stranger(Box<SiteRelay>),
    /// To a WEB host.
    #[cfg(feature = "tls")]
    Web(Box<WebEntry>),
}

/// Who goes to a WEB host.
#[cfg(feature = "tls")]
pub(super) struct WebEntry {
    pub(crate) door: Rc<dyn WebDoor>,
    pub(crate) socket: Socket,
    pub(crate) received: Vec<u8>,
    pub(crate) accepted: Instant,
    pub(crate) peer: Peer,
    /// Its place as a guest, if it has one.
    pub(crate) guest: Option<Guest>,
}

/// From the first byte to what goes on; `None`: nothing does, it has been ended.
pub(super) async fn enter(place: &Place, socket: Socket, rules: Live<Rules>) -> Option<Entered> {
    let context = place.context();
    let rules = RulesAtArrival::new(rules);
    let arrival = Arrival {
        context,
        place,
        socket: &socket,
        rules: &rules,
        peer: Cell::new(place.peer),
        proven: Cell::new(None),
        has_uptime: Cell::new(false),
        is_flooding: Cell::new(false),
        at_site: Cell::default(),
    };
    let Some(found) = prove_or_turn_away(&arrival).await else {
        context.let_go(&socket);
        return None;
    };
    let peer = arrival.peer.get();
    socket.set_nodelay();
    socket.set_keepalive(KEEPALIVE);
    Some(match found {
        Found::Client(accepted) => Entered::Client(
            Client::open(context, ClientEnd::Socket(socket), peer, &rules, accepted).await?,
        ),
        Found::Stranger(site, first) => {
            Entered::Stranger(SiteRelay::new(context, socket, site, &first))
        }
        #[cfg(feature = "tls")]
        Found::Web(door, received, accepted) => {
            let guest = arrival.at_site.take();
            Entered::Web(Box::new(WebEntry {
                door,
                socket,
                received,
                accepted,
                peer,
                guest,
            }))
        }
    })
}

/// What it turned out to be, if not nobody.
enum Found {
    Client(Accepted),
    /// To the site, with the bytes that it has not got.
    Stranger(SiteVisit, Vec<u8>),
    /// Through this door, with all that came since it was accepted then.
    #[cfg(feature = "tls")]
    Web(Rc<dyn WebDoor>, Vec<u8>, Instant),
}

/// Its handshake, and what a peer sees that fails in it: the site, an end like the
/// site's, or silence.
async fn prove_or_turn_away(arrival: &Arrival<'_>) -> Option<Found> {
    let context = arrival.context;
    let started = context.reactor.now();
    let opening = Opening::default();
    let limit = context.config.with(|config| config.handshake_timeout);
    let arrived = arrive_at_door(arrival).await;
    // For one that had to wait for a place all times count from here.
    let accepted = match arrival.is_flooding.get() {
        true => context.reactor.now(),
        false => started,
    };
    let standby = SiteStandby::new(arrival, &opening, accepted);
    context.metrics.handshaking.inc();
    let outcome = match arrived {
        Ok(()) => {
            // By reference: a future that is handed on by value has room twice.
            let proving = pin!(prove(arrival, &opening));
            standby.watch(limit, proving).await
        }
        Err(reason) => Err(reason),
    };
    context.metrics.handshaking.dec();
    let time = context.reactor.now().duration_since(started);
    let reason = match outcome {
        Ok(accepted) => {
            context.metrics.client_joined(accepted.kind(), time);
            log_accepted(arrival, &accepted);
            return Some(Found::Client(accepted));
        }
        Err(reason) => reason,
    };
    #[cfg(feature = "tls")]
    if let Some(door) = door_for(arrival, &opening, reason) {
        let received = opening.with(mem::take);
        return Some(Found::Web(door, received, accepted));
    }
    if !arrival.is_flooding.get() {
        reject(arrival, reason);
    }
    let site = Box::pin(standby.take_over(reason).or(async {
        evicted(arrival.place).await;
        None
    }));
    if let Some((site, rest)) = site.await {
        arrival.place.go_to_site();
        debug!(
            "{}: {} sees {site}",
            arrival.rules.name,
            Address::from(arrival.peer.get().client)
        );
        return Some(Found::Stranger(site, rest));
    }
    if context.config.with(|config| config.reset) != Reset::Never {
        // It fails if the peer was faster.
        let _ = arrival.socket.set_reset_on_close();
        return None;
    }
    if opening.manners().is_some() {
        let end = started + opening.patience(limit);
        let says = farewell::say(context, arrival.socket, &opening, reason, end);
        // In a box, which few get to need.
        Box::pin(says.or(evicted(arrival.place))).await;
        return None;
    }
    drop(opening);
    let time = context.reactor.now().duration_since(started);
    let left = limit.saturating_sub(time);
    let away = turn_away(context, arrival.socket, reason).or(evicted(arrival.place));
    let away = pin!(away);
    context.reactor.timeout(left, away).await;
    None
}

/// Waits until its handshake may be read. One over the flood limit cannot prove
/// anything: it waits for a place at the site.
async fn arrive_at_door(arrival: &Arrival<'_>) -> Result<(), RejectReason> {
    let arriving = async { arrival.learn_peer().await };
    let pushed_out = async {
        evicted(arrival.place).await;
        Err(RejectReason::Evicted)
    };
    if arriving.or(pushed_out).await? == FloodState::Within {
        return Ok(());
    }
    let context = arrival.context;
    reject(arrival, RejectReason::Flood);
    if !context.sites.is_on() && !context.is_all_web() {
        return Err(RejectReason::Flood);
    }
    // In a box, which few get to need.
    let place = Box::pin(context.sites.place_in_crowd(arrival.socket).or(async {
        evicted(arrival.place).await;
        None
    }));
    arrival
        .at_site
        .set(Some(place.await.ok_or(RejectReason::Abandoned)?));
    Ok(())
}

/// The door of WEB, if it takes one that is rejected for that.
#[cfg(feature = "tls")]
fn door_for(
    arrival: &Arrival<'_>,
    opening: &Opening,
    reason: RejectReason,
) -> Option<Rc<dyn WebDoor>> {
    let door = arrival.context.door.get()?;
    if !opening.concerns_site(reason) {
        return None;
    }
    let is_taken = opening.with(|received| {
        let sni = match client_hello::parse(received) {
            Ok(Parsed::Complete { value, .. }) => value.sni,
            _ => None,
        };
        door.takes(sni.as_ref(), received)
    });
    if !is_taken {
        return None;
    }
    let is_client = arrival.proven.get().is_some();
    if is_client && !arrival.is_flooding.get() {
        reject(arrival, reason);
    } else if is_enabled(LogLevel::Debug) {
        let (name, peer) = (&arrival.rules.name, arrival.peer.get().client);
        let peer = Address::from(peer);
        debug!("{name}: {peer} goes to a WEB host: {reason}");
    }
    Some(door.clone())
}

/// It is counted and told as no client, and goes before others from here on.
fn reject(arrival: &Arrival<'_>, reason: RejectReason) {
    arrival.context.metrics.client_rejected(reason);
    log_rejection(arrival, reason);
    arrival.place.give_up_hope(arrival.peer.get());
}

/// The handshake, unless another pushes it out of its place.
async fn prove(arrival: &Arrival<'_>, opening: &Opening) -> Result<Accepted, RejectReason> {
    let shaking = async { handshake(arrival, opening).await };
    let pushed_out = async {
        evicted(arrival.place).await;
        Err(RejectReason::Evicted)
    };
    shaking.or(pushed_out).await
}

pub(super) async fn evicted(place: &Place) {
    poll_fn(|cx| place.poll_evicted(cx)).await;
}

/// What a peer sees that is no client, where there is no site to show. Only a
/// malformed hello is answered. Else the connection stays open, as that of a server
/// with nothing to say, until the peer leaves or the time is up.
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
        | RejectReason::BadProxyHeader
        | RejectReason::Loop => {}
        // As if it were not accepted.
        RejectReason::Flood => {
            let _ = poll_fn(|cx| socket.poll_filled(cx, MAX_UNREAD)).await;
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

fn log_accepted(arrival: &Arrival<'_>, accepted: &Accepted) {
    if is_enabled(LogLevel::Debug) {
        let rules = arrival.rules;
        let name = rules.secrets.get(accepted.secret).map(|named| &*named.name);
        let (name, kind) = (name.unwrap_or_default(), accepted.kind());
        let dc = accepted.header.dc;
        let peer = Address::from(arrival.peer.get().client);
        debug!(
            "{}: {peer} is a client of {name}, {kind}, for DC {dc}",
            rules.name
        );
    }
}

fn log_rejection(arrival: &Arrival<'_>, reason: RejectReason) {
    let peer = Address::from(arrival.peer.get().client);
    if reason == RejectReason::TooManyClients {
        arrival.context.log_full_house();
    }
    if reason == RejectReason::BadProxyHeader
        && let Some(skipped) = arrival
            .context
            .relay_log
            .pass(arrival.context.reactor.now())
    {
        warn!("{peer}: {reason}{skipped}");
    }
    let now = arrival.context.reactor.now();
    arrival
        .context
        .turned_away
        .tell(reason, arrival.secret(), now);
    if is_enabled(LogLevel::Debug) {
        debug!("{}: {peer} is no client: {reason}", arrival.rules.name);
    }
}
