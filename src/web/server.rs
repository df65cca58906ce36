//! One connection of HTTP: each of its requests is answered by us, or by the cover.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::WebContext;
use super::api::{Called, Caller};
use super::carrier::websocket;
use super::cover::Visit;
use super::decide::{Decision, decide, is_secret};
use super::page;
use crate::client::Peer;
use crate::config::WebListen;
use crate::http::{Connection, Exchange, Incoming, Next};
use crate::metrics::WebRefusal;
use crate::net::Live;
use crate::wire::http::RequestHead;
use crate::wire::proxy_protocol::ProxyAddresses;

/// The answer to what cannot be parsed and has a secret in it.
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Who sends a connection's requests.
pub(super) enum Origin {
    /// Whoever has made it.
    Known(Peer),
    /// A web server in front of us, which may be told of in a header field.
    Behind(Peer, Live<WebListen>),
}

impl Origin {
    /// Who sends this one.
    fn of(&self, head: &RequestHead) -> Peer {
        match self {
            Self::Known(peer) => *peer,
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

    fn addresses(&self) -> ProxyAddresses {
        let (Self::Known(peer) | Self::Behind(peer, _)) = self;
        ProxyAddresses {
            client: peer.client,
            local: peer.local,
        }
    }
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
    // In a box, so that a session does not keep the memory of its request.
    let serving = Box::pin(Serving::new(&context, connection, received, origin).run());
    if let Some((session, connection, received)) = serving.await {
        let carrying = websocket::run(session, connection, received);
        context.executor.spawn(carrying).detach();
    }
}

type Upgraded = (Rc<super::session::Session>, Rc<Connection>, Vec<u8>);

struct Serving {
    context: Rc<WebContext>,
    exchange: Exchange,
    origin: Origin,
    /// At the cover.
    visit: Visit,
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
            visit: context.covers.visit(origin.addresses()),
            context: context.clone(),
            origin,
        }
    }

    /// Until the connection is of no more use, or of another use.
    async fn run(mut self) -> Option<Upgraded> {
        loop {
            let called = match self.visit.next(&mut self.exchange).await {
                Incoming::End => break,
                Incoming::Unparsable => {
                    self.pass_on_raw().await;
                    break;
                }
                Incoming::Request(head) => Box::pin(self.answer(&head)).await,
            };
            match called {
                Called::Answered(Next::KeepAlive) => {}
                Called::Answered(Next::Close) => {
                    self.exchange.finish().await;
                    return None;
                }
                Called::Upgraded(session) => {
                    let (connection, received) = self.exchange.into_upgraded();
                    return Some((session, connection, received));
                }
                Called::Broken => return None,
            }
        }
        self.exchange.finish().await;
        None
    }

    async fn answer(&mut self, head: &RequestHead) -> Called {
        let context = self.context.clone();
        let decision = decide(&context.hosts(), &context.mint, head);
        if !matches!(decision, Decision::Cover) {
            self.visit.not_the_sites();
        }
        match decision {
            Decision::Page(host, bridge) => {
                let answered = page::answer(&context, &mut self.exchange, head, &host, bridge);
                answered.await.into()
            }
            Decision::Call(ticket, call) => {
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
                let fields = [("Cache-Control", "no-store")];
                let answered = self.exchange.answer(head, 404, &fields, &[]);
                answered.await.into()
            }
            Decision::Cover => {
                self.visit.set_client(self.origin.of(head).client);
                let hosts = context.hosts();
                let host = head.fields().only("host").unwrap_or_default();
                let host = hosts.named(host).next().map(|host| &host.name);
                let answering = self.visit.answer(&mut self.exchange, head, host);
                Called::Answered(answering.await)
            }
        }
    }

    /// What is no request goes to the site as it is, unless a secret is in it.
    async fn pass_on_raw(&mut self) {
        let (hosts, mint) = (self.context.hosts(), &self.context.mint);
        if is_secret(&hosts, mint, self.exchange.received()) {
            let refusals = &self.context.metrics.web_refusals;
            refusals.inc(WebRefusal::Misplaced);
            let _ = self.exchange.write(BAD_REQUEST).await;
        } else {
            self.visit.relay_raw(&mut self.exchange, None).await;
        }
    }
}
