//! A client past its handshake: its session is opened, relayed and ended.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::ClientContext;
use super::accepted::Accepted;
use super::deadlines::LAST_WORDS;
use super::inlet::Inlet;
use super::line::LineRelay;
use super::out::ClientOut;
use super::packets::{Carries, StreamRelay};
use super::peer::Peer;
use super::records::RecordLengths;
use super::rules::{Rules, RulesAtArrival};
use super::sessions::Listed;
use super::unframe::Unframer;
use crate::backend::{OpenError, Route, Session, SessionRequest};
use crate::config::RouteChoice;
use crate::connection::ClientEnd;
use crate::guard::half_open::Origin;
use crate::log::{LogLevel, is_enabled};
#[cfg(feature = "ctl")]
use crate::metrics::ClientKind;
use crate::metrics::{CloseReason, RouteKind};
use crate::net::{Destination, User};
use crate::wire::dc::DcId;
use crate::wire::fake_tls::RecordReader;
use crate::wire::obfuscated2::ClientHeader;
use crate::wire::packet_meter::PacketMeter;
use crate::wire::secret::Secret;

/// A client past its handshake.
pub(super) struct Client {
    /// Its number in the list of sessions.
    number: usize,
    out: Rc<ClientOut>,
    dc: DcId,
    relay: Relay,
}

impl Client {
    /// Opens its session; `None` if that failed and the client is closed.
    pub(crate) async fn open(
        context: &Rc<ClientContext>,
        end: ClientEnd,
        peer: Peer,
        rules: &RulesAtArrival,
        accepted: Accepted,
    ) -> Option<Self> {
        let started = context.reactor.now();
        let told = told(&end, peer);
        let named = rules.secrets.get(accepted.secret)?;
        let secret = named.secret.key;
        let dc = accepted.header.dc;
        #[cfg(feature = "ctl")]
        let kind = match end.as_socket() {
            Some(_) => accepted.kind(),
            None => ClientKind::Web,
        };
        let (out, header, records) = accept(context, end, accepted);
        let listed = Listed {
            secret,
            out: Rc::downgrade(&out),
            told,
            started,
            #[cfg(feature = "ctl")]
            dc,
            #[cfg(feature = "ctl")]
            kind,
            #[cfg(feature = "ctl")]
            route: None,
        };
        if !is_still_taken(&out, rules, &secret) {
            leave(&out, Some(listed), CloseReason::SecretRemoved);
            return None;
        }
        // Before it is open, so that no end of its secret passes it by.
        let number = context.sessions.enter(listed);
        match open(&out, peer, rules, header, records).await {
            Ok(relay) => {
                context.metrics.session_opened(dc, relay.route());
                #[cfg(feature = "ctl")]
                context.sessions.opened(number, relay.route());
                Some(Self {
                    number,
                    out,
                    dc,
                    relay,
                })
            }
            Err(reason) => {
                leave(&out, context.sessions.leave(number), reason);
                None
            }
        }
    }

    /// Relays until the client leaves or is closed.
    pub(crate) async fn run(mut self) {
        let reason = poll_fn(|cx| self.relay.poll(cx)).await;
        let context = &self.out.context;
        context.metrics.session_closed(self.dc, self.relay.route());
        leave(&self.out, context.sessions.leave(self.number), reason);
    }
}

/// The way out, in records as the site's server makes them, and what the way in
/// begins with.
fn accept(
    context: &Rc<ClientContext>,
    end: ClientEnd,
    accepted: Accepted,
) -> (Rc<ClientOut>, ClientHeader, Option<RecordReader>) {
    let lengths = accepted.hello.map(|hello| {
        let site = context.sites.profile(&hello.domain);
        let flight = site.map(|profile| profile.records);
        RecordLengths::new(
            context.config.with(|config| config.tls_records),
            flight,
            hello.post_quantum,
        )
    });
    let transport = accepted.header.transport;
    let out = ClientOut::new(context, end, transport, lengths, accepted.pass);
    (out, accepted.header, accepted.records)
}

/// What a relay told, or a carrier: in a box, which a client without one does not need.
fn told(end: &ClientEnd, peer: Peer) -> Option<Box<SocketAddr>> {
    let is_own = end.peer_address().is_some_and(|own| own == peer.client);
    (!is_own).then(|| Box::new(peer.client))
}

/// Whether the listener takes the secret that was proven by `rules`, and counts its
/// clients where this one is counted: else it comes again.
fn is_still_taken(out: &ClientOut, rules: &RulesAtArrival, secret: &Secret) -> bool {
    let Some(latest) = rules.replaced_by() else {
        return true;
    };
    let mut secrets = latest.secrets.iter();
    let named = secrets.find(|named| named.secret.key == *secret);
    named.is_some_and(|named| {
        let account = out.context.gate.account(&named.name);
        account.as_ref().map(Rc::as_ptr) == out.account.as_ref().map(Rc::as_ptr)
    })
}

fn leave(out: &ClientOut, listed: Option<Listed>, reason: CloseReason) {
    let context = &out.context;
    let now = context.reactor.now();
    let started = listed.as_ref().map_or(now, |listed| listed.started);
    let time = now.duration_since(started);
    if let Some(account) = &out.account {
        account.see(context.reactor.clock().unix());
    }
    let reason = match reason {
        CloseReason::ClientBroken if out.is_asked.get() => CloseReason::NoAnswer,
        reason => reason,
    };
    context.metrics.client_left(reason, time);
    if is_enabled(LogLevel::Debug) {
        let told = listed.and_then(|listed| listed.told);
        let peer = told.map_or_else(|| out.end.peer_address(), |told| Some(*told));
        let peer = peer.map_or_else(|| "a client".into(), |address| address.to_string());
        debug!("{peer} left after {} s: {reason}", time.as_secs());
    }
    out.close(reason);
}

/// In boxes: each is as large as it has to be, and moving one is cheap.
enum Relay {
    Stream(Box<StreamRelay>),
    Line(Box<LineRelay>),
}

impl Relay {
    fn route(&self) -> RouteKind {
        match self {
            Self::Stream(relay) if relay.carries_packets() => RouteKind::Middle,
            Self::Stream(_) => RouteKind::Link,
            Self::Line(_) => RouteKind::Direct,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self {
            Self::Stream(relay) => relay.poll(cx),
            Self::Line(relay) => relay.poll(cx),
        }
    }
}

async fn open(
    out: &Rc<ClientOut>,
    peer: Peer,
    rules: &Rules,
    header: ClientHeader,
    records: Option<RecordReader>,
) -> Result<Relay, CloseReason> {
    let (dc, transport) = (header.dc, header.transport);
    let route = first_route(rules);
    let request = SessionRequest {
        route,
        has_other_route: route == Route::Middle && rules.route == RouteChoice::Auto,
        dc: header.dc,
        client: peer.client,
        local: peer.local,
        tag: rules.tag,
        transport,
        to_client: header.to_client,
        #[cfg(feature = "tls")]
        made_of: Some(Rc::new(header.made_of)),
    };
    let inlet = Inlet::new(header.from_client, records);
    let session = open_session(out, request).await?;
    let meter = PacketMeter::new(transport);
    let unframer = || {
        let user = User(Origin::of(peer.client.ip()).number());
        Unframer::new(transport, user, Destination::dc(dc))
    };
    let out = out.clone();
    let (stream, content) = match session {
        Session::Packets(stream) => (stream, Carries::Packets(unframer())),
        Session::Bytes(stream) => (stream, Carries::Bytes(meter)),
        Session::Line(line) => {
            return Ok(Relay::Line(Box::new(LineRelay::new(
                out, inlet, meter, line,
            ))));
        }
    };
    let relay = StreamRelay::new(out, inlet, stream, content);
    Ok(Relay::Stream(Box::new(relay)))
}

fn first_route(rules: &Rules) -> Route {
    match rules.route {
        RouteChoice::Middle => Route::Middle,
        RouteChoice::Own(_) => Route::Direct,
        RouteChoice::Auto if rules.tag.is_some() => Route::Middle,
        RouteChoice::Auto => Route::Direct,
    }
}

/// Opens it unless the client hangs up meanwhile.
async fn open_session(
    out: &Rc<ClientOut>,
    request: SessionRequest,
) -> Result<Session, CloseReason> {
    let opening = pin!(open_on_routes(out, request));
    let gone = async {
        hung_up(out).await;
        Err(CloseReason::ClientClosed)
    };
    smol::future::or(opening, gone).await
}

/// Completes when the client has hung up, and a little later if it has said
/// something that it may still be served for.
async fn hung_up(out: &ClientOut) {
    poll_fn(|cx| out.end.poll_hung_up(cx)).await;
    if !out.end.is_at_end() {
        out.context.reactor.sleep(LAST_WORDS).await;
    }
}

async fn open_on_routes(
    out: &Rc<ClientOut>,
    mut request: SessionRequest,
) -> Result<Session, CloseReason> {
    let context = &out.context;
    let opened = open_on_route(out, &request).await;
    let is_out_of_reach = opened.as_ref().err() == Some(&OpenError::MiddleUnavailable);
    if !is_out_of_reach || !request.has_other_route {
        return Ok(opened?);
    }
    if let Some(skipped) = context.fallback_log.pass(context.reactor.now()) {
        let dc = request.dc;
        warn!(
            "no middle proxy of DC {dc} can be reached, going direct, without the ad tag{skipped}"
        );
    }
    request.route = Route::Direct;
    request.has_other_route = false;
    Ok(open_on_route(out, &request).await?)
}

async fn open_on_route(
    out: &Rc<ClientOut>,
    request: &SessionRequest,
) -> Result<Session, OpenError> {
    let is_encrypted = request.route == Route::Direct;
    out.expect(&request.to_client, is_encrypted);
    out.context.backend.open(request.clone(), out.clone()).await
}
