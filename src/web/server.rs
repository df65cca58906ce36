//! One connection of HTTP: each of its requests is answered by us, or by the cover.

#[cfg(feature = "tls")]
use std::future::Future;
#[cfg(feature = "tls")]
use std::pin::Pin;
use std::rc::Rc;

use super::WebContext;
use super::api::{Called, Caller};
use super::carrier::websocket;
#[cfg(feature = "tls")]
use super::connections::Connections;
use super::connections::Seated;
use super::cover::{Cover, Visit};
use super::decide::{Decision, decide, is_secret};
use super::in_front::{InFront, Sender};
use super::page;
use super::session::Session;
use crate::client::Peer;
#[cfg(feature = "tls")]
use crate::client::WebStanding;
use crate::guard::fair_queue as guard;
use crate::http::{Connection, Exchange, Incoming, Next};
use crate::metrics::WebRefusal;
use crate::wire::http::RequestHead;

/// Of answers to who shows a secret where none belongs, and to others where there is no
/// site.
const NO_SITE: &[(&str, &str)] = &[("Cache-Control", "no-store")];

/// Of answers to an address that has its part of all connections already.
const BUSY: &[(&str, &str)] = &[("Cache-Control", "no-store"), ("Retry-After", "1")];

/// Who sends a connection's requests.
pub(super) enum Origin {
    /// Whoever has made it, at a port of clients.
    #[cfg(feature = "tls")]
    Door(Peer, Standing),
    /// A web server in front of us, which may be told of in a header field.
    Behind(InFront),
}

impl Origin {
    /// Who sends this one.
    fn of(&self, head: &RequestHead) -> Sender {
        match self {
            #[cfg(feature = "tls")]
            Self::Door(peer, _) => Sender::itself(*peer),
            Self::Behind(server) => server.sender(head),
        }
    }

    /// Says what is wrong with how that was told.
    fn tell(&self, sender: &Sender, context: &WebContext) {
        match self {
            #[cfg(feature = "tls")]
            Self::Door(..) => {}
            Self::Behind(server) => {
                server.tell(sender, &context.in_front, context.reactor.now());
            }
        }
    }

    /// Whose a connection is while nothing is asked on it.
    fn owner(&self) -> Option<guard::Origin> {
        match self {
            Self::Behind(server) if server.is_told => {
                Some(guard::Origin::of(server.peer.client.ip()))
            }
            _ => None,
        }
    }

    /// Who has made the connection.
    fn peer(&self) -> Peer {
        match self {
            #[cfg(feature = "tls")]
            Self::Door(peer, _) => *peer,
            Self::Behind(server) => server.peer,
        }
    }

    /// A secret was shown: nobody pushes its connection out any more, if there is a place
    /// for it among those. Else it keeps its seat, and its place for another request.
    #[cfg(feature = "tls")]
    fn prove(&mut self, connections: &Rc<Connections>) -> Option<Seated> {
        let Self::Door(peer, standing) = self else {
            return None;
        };
        if standing.has_proven {
            return None;
        }
        let seated = connections.take_of(guard::Origin::of(peer.client.ip()))?;
        standing.seat.prove();
        (standing.has_proven, standing.is_news) = (true, true);
        Some(seated)
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

/// Serves a connection to its end. A WebSocket goes on in a task of its own.
pub(super) async fn serve(
    context: Rc<WebContext>,
    connection: Rc<Connection>,
    received: Vec<u8>,
    origin: Origin,
    seated: Option<Seated>,
) {
    let serving = Serving {
        exchange: Exchange::new(&context.http, connection, received),
        context,
        origin,
        seated,
        visit: None,
    };
    go_on(Box::new(serving)).await;
}

async fn go_on(serving: Box<Serving>) {
    let context = serving.context.clone();
    // In a box, so that a session does not keep the memory of its request.
    match Box::pin(serving.run()).await {
        After::Nothing => {}
        After::Upgraded(upgraded) => {
            let Upgraded {
                session,
                connection,
                received,
                seated,
            } = *upgraded;
            let is_seated = seated.is_some();
            let carrying = async move {
                websocket::run(session, connection, received).await;
                drop(seated);
            };
            match is_seated {
                true => context.executor.spawn(carrying).detach(),
                // It counts as what it came as, and may be pushed out.
                false => Box::pin(carrying).await,
            }
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
    Upgraded(Box<Upgraded>),
    /// It has shown a secret: it goes on as no stranger's.
    #[cfg(feature = "tls")]
    Proven(Box<Serving>),
}

/// A carrier that begins, and what came behind its request.
struct Upgraded {
    session: Rc<Session>,
    connection: Rc<Connection>,
    received: Vec<u8>,
    seated: Option<Seated>,
}

struct Serving {
    context: Rc<WebContext>,
    exchange: Exchange,
    origin: Origin,
    /// Its place among those that nobody pushes out.
    seated: Option<Seated>,
    /// At the site of the host that was asked for last.
    visit: Option<(Rc<Cover>, Visit)>,
}

impl Serving {
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
                    return After::Upgraded(Box::new(Upgraded {
                        session,
                        connection,
                        received,
                        seated: self.seated,
                    }));
                }
                Called::Broken => return After::Nothing,
            }
        }
        self.exchange.finish().await;
        After::Nothing
    }

    /// A web server in front of us may be everybody's: what it asks for one address at a
    /// time has that address's part of the places.
    async fn answer(&mut self, head: &RequestHead) -> Called {
        let sender = self.origin.of(head);
        let origin = guard::Origin::of(sender.peer.client.ip());
        if let Some(seated) = self.seated.as_mut().filter(|_| sender.is_told)
            && !seated.belong_to(Some(origin))
        {
            self.context.metrics.web_refusals.inc(WebRefusal::Full);
            return self.exchange.answer(head, 503, BUSY, &[]).await.into();
        }
        let called = self.answer_to(head, &sender).await;
        if let (Called::Answered(_), Some(seated)) = (&called, &mut self.seated)
            && sender.is_told
        {
            seated.belong_to(self.origin.owner());
        }
        called
    }

    async fn answer_to(&mut self, head: &RequestHead, sender: &Sender) -> Called {
        let context = self.context.clone();
        let decision = decide(&context.hosts(), &context.mint, head);
        match decision {
            Decision::Page(host, bridge) => {
                self.prove();
                let answered = page::answer(&context, &mut self.exchange, head, &host, bridge);
                answered.await.into()
            }
            Decision::Call(ticket, call) => {
                self.prove();
                self.origin.tell(sender, &context);
                let caller = Caller {
                    context: &context,
                    peer: sender.peer,
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
            Decision::Cover => self.show_cover(head, sender.peer).await,
        }
    }

    fn prove(&mut self) {
        #[cfg(feature = "tls")]
        if self.seated.is_none() {
            self.seated = self.origin.prove(&self.context.connections);
        }
    }

    /// Lets the site answer.
    async fn show_cover(&mut self, head: &RequestHead, peer: Peer) -> Called {
        self.origin.become_guest();
        let from = self.origin.peer().client.ip();
        if self.context.circle.closes(head, from) {
            return self.exchange.answer(head, 404, NO_SITE, &[]).await.into();
        }
        let host = head.fields().only("host").unwrap_or_default();
        match self.visit_of(host, peer) {
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
        let told = told_host(self.exchange.received()).to_vec();
        let peer = self.origin.peer();
        let found = match &mut self.visit {
            Some((_, visit)) => Some((visit, &mut self.exchange)),
            None => self.visit_of(&told, peer),
        };
        if let Some((visit, exchange)) = found {
            visit.relay_raw(exchange).await;
        }
    }

    /// The connection's visit at the site of `host`, a new one if it was at another; it
    /// goes on for `peer`.
    fn visit_of(&mut self, host: &[u8], peer: Peer) -> Option<(&mut Visit, &mut Exchange)> {
        let cover = self.context.cover(host)?;
        let is_there = |(at, _): &(Rc<Cover>, Visit)| Rc::ptr_eq(at, &cover);
        if !self.visit.as_ref().is_some_and(is_there) {
            let mut visit = cover.visit(peer);
            let context = self.context.clone();
            visit.keep_back(Rc::new(move |text| {
                is_secret(&context.hosts(), &context.mint, text)
            }));
            if matches!(self.origin, Origin::Behind(..)) {
                visit.share();
            }
            self.visit = Some((cover, visit));
        }
        let (_, visit) = self.visit.as_mut()?;
        visit.go_on_for(peer);
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
