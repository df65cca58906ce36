//! One connection of HTTP: each of its requests is answered by us, or by the cover.

#[cfg(feature = "tls")]
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
#[cfg(feature = "tls")]
use std::pin::Pin;
use std::rc::Rc;

use super::WebContext;
use super::api::{Called, Caller};
use super::carrier::websocket;
use super::cover::{Cover, Visit};
use super::decide::{Decision, decide, is_secret};
use super::page;
use crate::client::Peer;
#[cfg(feature = "tls")]
use crate::client::WebStanding;
use crate::config::WebListen;
use crate::http::{Connection, Exchange, Incoming, Next};
use crate::metrics::WebRefusal;
use crate::net::Live;
use crate::wire::http::RequestHead;

/// Of answers to who shows a secret where none belongs, and to others where there is no
/// site.
const NO_SITE: &[(&str, &str)] = &[("Cache-Control", "no-store")];

/// Who sends a connection's requests.
pub(super) enum Origin {
    /// Whoever has made it, at a port of clients.
    #[cfg(feature = "tls")]
    Door(Peer, Standing),
    /// A web server in front of us, which may be told of in a header field.
    Behind(Peer, Live<WebListen>),
}

impl Origin {
    /// Who sends this one.
    fn of(&self, head: &RequestHead) -> Peer {
        match self {
            #[cfg(feature = "tls")]
            Self::Door(peer, _) => *peer,
            Self::Behind(peer, door) => door.with(|door| {
                let client = peer.client.ip();
                let is_trusted = door.trust.iter().any(|net| net.contains(client));
                let told = is_trusted.then(|| last_address(head, &door.header));
                let client = told.flatten().unwrap_or(client);
                Peer {
                    client: SocketAddr::new(client, peer.client.port()),
                    local: peer.local,
                }
            }),
        }
    }

    /// Who has made the connection.
    fn peer(&self) -> Peer {
        match self {
            #[cfg(feature = "tls")]
            Self::Door(peer, _) => *peer,
            Self::Behind(peer, _) => *peer,
        }
    }

    /// A secret was shown: nobody pushes its connection out any more.
    fn prove(&mut self) {
        #[cfg(feature = "tls")]
        if let Self::Door(_, standing) = self
            && !standing.has_proven
        {
            standing.seat.prove();
            (standing.has_proven, standing.is_news) = (true, true);
        }
    }

    /// What is shown is no secret.
    fn become_guest(&self) {
        #[cfg(feature = "tls")]
        if let Self::Door(_, standing) = self
            && !standing.has_proven
        {
            standing.seat.become_guest();
        }
    }

    /// Since the last call.
    #[cfg(feature = "tls")]
    fn has_just_proven(&mut self) -> bool {
        match self {
            Self::Door(_, standing) => std::mem::take(&mut standing.is_news),
            Self::Behind(..) => false,
        }
    }
}

/// What a connection at a port of clients counts as.
#[cfg(feature = "tls")]
pub(super) struct Standing {
    seat: Rc<WebStanding>,
    /// A secret was shown.
    has_proven: bool,
    is_news: bool,
}

#[cfg(feature = "tls")]
impl Standing {
    pub(crate) fn new(seat: Rc<WebStanding>) -> Self {
        Self {
            seat,
            has_proven: false,
            is_news: false,
        }
    }
}

/// The host that a connection's first bytes name, though they are no request.
fn told_host(received: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"host:";
    let mut lines = received.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    value.unwrap_or_default().trim_ascii()
}

/// What the web server in front of us has added: the last address of the last field.
fn last_address(head: &RequestHead, name: &str) -> Option<IpAddr> {
    let value = head.fields().named(name).last()?;
    let last = value.rsplit(|byte| *byte == b',').next()?;
    let last = str::from_utf8(last).ok()?.trim();
    let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = last.trim_matches(['[', ']']).parse().ok();
    let address: Option<IpAddr> = bare.or_else(with_port);
    address.map(|address| address.to_canonical())
}

/// Serves a connection to its end. A WebSocket goes on in a task of its own.
pub(super) async fn serve(
    context: Rc<WebContext>,
    connection: Rc<Connection>,
    received: Vec<u8>,
    origin: Origin,
) {
    go_on(Box::new(Serving::new(
        &context, connection, received, origin,
    )))
    .await;
}

async fn go_on(serving: Box<Serving>) {
    let context = serving.context.clone();
    // In a box, so that a session does not keep the memory of its request.
    match Box::pin(serving.run()).await {
        After::Nothing => {}
        After::Upgraded(session, connection, received) => {
            let carrying = websocket::run(session, connection, received);
            context.executor.spawn(carrying).detach();
        }
        #[cfg(feature = "tls")]
        After::Proven(serving) => {
            let going_on: Pin<Box<dyn Future<Output = ()>>> = Box::pin(go_on(serving));
            context.executor.spawn(going_on).detach();
        }
    }
}

/// What comes of a connection.
enum After {
    Nothing,
    /// It is a carrier.
    Upgraded(Rc<super::session::Session>, Rc<Connection>, Vec<u8>),
    /// It has shown a secret: it goes on as no stranger's.
    #[cfg(feature = "tls")]
    Proven(Box<Serving>),
}

struct Serving {
    context: Rc<WebContext>,
    exchange: Exchange,
    origin: Origin,
    /// At the site of the host that was asked for last.
    visit: Option<(Rc<Cover>, Visit)>,
}

impl Serving {
    fn new(
        context: &Rc<WebContext>,
        connection: Rc<Connection>,
        received: Vec<u8>,
        origin: Origin,
    ) -> Self {
        Self {
            exchange: Exchange::new(&context.http, connection, received),
            context: context.clone(),
            origin,
            visit: None,
        }
    }

    /// Until the connection is of no more use, or of another use.
    async fn run(mut self: Box<Self>) -> After {
        loop {
            let incoming = match &mut self.visit {
                Some((_, visit)) => visit.next(&mut self.exchange).await,
                None => self.exchange.next().await,
            };
            let called = match incoming {
                Incoming::End => break,
                Incoming::Unparsable => {
                    self.pass_on_raw().await;
                    break;
                }
                Incoming::Request(head) => Box::pin(self.answer(&head)).await,
            };
            match called {
                #[cfg(feature = "tls")]
                Called::Answered(Next::KeepAlive) if self.origin.has_just_proven() => {
                    return After::Proven(self);
                }
                Called::Answered(Next::KeepAlive) => {}
                Called::Answered(Next::Close) => {
                    self.exchange.finish().await;
                    return After::Nothing;
                }
                Called::Upgraded(session) => {
                    let (connection, received) = self.exchange.into_upgraded();
                    return After::Upgraded(session, connection, received);
                }
                Called::Broken => return After::Nothing,
            }
        }
        self.exchange.finish().await;
        After::Nothing
    }

    async fn answer(&mut self, head: &RequestHead) -> Called {
        let context = self.context.clone();
        let decision = decide(&context.hosts(), &context.mint, head);
        match decision {
            Decision::Page(host, bridge) => {
                self.origin.prove();
                let answered = page::answer(&context, &mut self.exchange, head, &host, bridge);
                answered.await.into()
            }
            Decision::Call(ticket, call) => {
                self.origin.prove();
                let caller = Caller {
                    context: &context,
                    peer: self.origin.of(head),
                    exchange: &mut self.exchange,
                    head,
                    ticket,
                };
                caller.call(call).await
            }
            Decision::Refuse => {
                context.metrics.web_refusals.inc(WebRefusal::Misplaced);
                let answered = self.exchange.answer(head, 404, NO_SITE, &[]);
                answered.await.into()
            }
            Decision::Cover => self.show_cover(head).await,
        }
    }

    /// Lets the site answer.
    async fn show_cover(&mut self, head: &RequestHead) -> Called {
        self.origin.become_guest();
        let host = head.fields().only("host").unwrap_or_default();
        match self.visit_of(host) {
            Some((visit, exchange)) => Called::Answered(visit.answer(exchange, head).await),
            None => self.exchange.answer(head, 404, NO_SITE, &[]).await.into(),
        }
    }

    /// What is no request goes to the site as it is, unless a secret is in it.
    async fn pass_on_raw(&mut self) {
        self.origin.become_guest();
        let (hosts, mint) = (self.context.hosts(), &self.context.mint);
        if is_secret(&hosts, mint, self.exchange.received()) {
            let refusals = &self.context.metrics.web_refusals;
            refusals.inc(WebRefusal::Misplaced);
            let _ = self.exchange.refuse(NO_SITE, &[]).await;
            return;
        }
        // It goes on at the site that has answered what came before.
        if self.visit.is_none() {
            let told = told_host(self.exchange.received()).to_vec();
            self.visit_of(&told);
        }
        if let Some((_, visit)) = &mut self.visit {
            visit.relay_raw(&mut self.exchange).await;
        }
    }

    /// The connection's visit at the site of `host`, a new one if it was at another.
    fn visit_of(&mut self, host: &[u8]) -> Option<(&mut Visit, &mut Exchange)> {
        let cover = self.context.cover(host)?;
        let is_there = |(at, _): &(Rc<Cover>, Visit)| Rc::ptr_eq(at, &cover);
        if !self.visit.as_ref().is_some_and(is_there) {
            let visit = cover.visit(self.origin.peer());
            self.visit = Some((cover, visit));
        }
        let (_, visit) = self.visit.as_mut()?;
        Some((visit, &mut self.exchange))
    }
}

#[cfg(test)]
mod tests {
    use super::told_host;

    #[test]
    fn the_host_of_what_is_no_request() {
        for (received, host) in [
            (
                &b"CONNECT a:443 HTTP/1.1\r\nHOST:  a.example \r\n\r\n"[..],
                &b"a.example"[..],
            ),
            (b"GET / HTTP/1.1\nhost: b\nHost: c\n\n", b"b"),
            (b"GET / HTTP/1.1\r\nX-Host: d\r\n\r\n", b""),
            (b"host", b""),
            (b"", b""),
            (b"\x16\x03\x01\n", b""),
        ] {
            assert_eq!(told_host(received), host);
        }
    }
}
