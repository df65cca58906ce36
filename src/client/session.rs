use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handshake::Accepted;
use super::inlet::Inlet;
use super::line::LineRelay;
use super::out::ClientOut;
use super::packets::{Content, StreamRelay};
use super::registry::Place;
use super::unframe::{PacketMeter, Unframer};
use super::{ClientContext, Rules};
use crate::backend::{OpenError, Route, Session, SessionRequest};
use crate::config::RouteChoice;
use crate::metrics::CloseReason;
use crate::net::Socket;

/// A client past its handshake, until it leaves.
pub(super) async fn run(place: Place, socket: Socket, rules: Rc<Rules>, accepted: Accepted) {
    let context = place.context();
    let started = context.reactor.now();
    let peer = socket.peer_address();
    // In a box, so that the relay does not keep the opening's memory.
    let opened = Box::pin(open(context, socket, rules, accepted)).await;
    let reason = match opened {
        Ok(mut relay) => poll_fn(|cx| relay.poll(cx)).await,
        Err(reason) => reason,
    };
    let time = context.reactor.now().duration_since(started);
    context.metrics.client_left(reason, time);
    if let Ok(peer) = peer {
        debug!("{peer} left after {} s: {reason}", time.as_secs());
    }
}

enum Relay {
    Stream(StreamRelay),
    Line(LineRelay),
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self {
            Self::Stream(relay) => relay.poll(cx),
            Self::Line(relay) => relay.poll(cx),
        }
    }
}

async fn open(
    context: &Rc<ClientContext>,
    socket: Socket,
    rules: Rc<Rules>,
    accepted: Accepted,
) -> Result<Relay, CloseReason> {
    let header = accepted.header;
    let transport = header.transport;
    let request = SessionRequest {
        route: first_route(&rules),
        dc: header.dc,
        client: socket
            .peer_address()
            .map_err(|_| CloseReason::ClientBroken)?,
        local: socket
            .local_address()
            .map_err(|_| CloseReason::ClientBroken)?,
        tag: rules.tag,
        transport,
        to_client: header.to_client,
    };
    let out = ClientOut::new(context, socket, transport, accepted.records.is_some());
    let inlet = Inlet::new(header.from_client, accepted.records);
    let session = open_session(&out, request, rules.route).await?;
    let meter = PacketMeter::new(transport);
    Ok(match session {
        Session::Packets(stream) => {
            let content = Content::Packets(Unframer::new(transport));
            Relay::Stream(StreamRelay::new(out, inlet, stream, content))
        }
        Session::Bytes(stream) => {
            Relay::Stream(StreamRelay::new(out, inlet, stream, Content::Bytes(meter)))
        }
        Session::Line(line) => Relay::Line(LineRelay::new(out, inlet, meter, line)),
    })
}

fn first_route(rules: &Rules) -> Route {
    match rules.route {
        RouteChoice::Middle => Route::Middle,
        RouteChoice::Direct => Route::Direct,
        RouteChoice::Auto if rules.tag.is_some() => Route::Middle,
        RouteChoice::Auto => Route::Direct,
    }
}

async fn open_session(
    out: &Rc<ClientOut>,
    mut request: SessionRequest,
    choice: RouteChoice,
) -> Result<Session, CloseReason> {
    let context = &out.context;
    let opened = open_on_route(out, &request).await;
    if choice != RouteChoice::Auto || opened.as_ref().err() != Some(&OpenError::MiddleUnavailable) {
        return Ok(opened?);
    }
    if let Some(more) = context.fallback_log.pass() {
        let dc = request.dc;
        warn!(
            "no middle proxy of DC {dc} can be reached, going direct, without the ad tag ({more} more before)"
        );
    }
    request.route = Route::Direct;
    Ok(open_on_route(out, &request).await?)
}

async fn open_on_route(
    out: &Rc<ClientOut>,
    request: &SessionRequest,
) -> Result<Session, OpenError> {
    let is_encrypted_here = request.route == Route::Middle;
    out.encrypt_with(is_encrypted_here.then(|| request.to_client.clone()));
    out.context.backend.open(request.clone(), out.clone()).await
}
