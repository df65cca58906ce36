//! A client's connection at the cover.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::flow::Flow;
use super::kept::KeptConnection;
use super::one_answer::OneAnswer;
use super::raw::RawRelay;
use super::shown::{Cover, Source};
use super::site::Site;
use super::transfer::{Outcome, Transfer};
use super::watch::{IsSecret, Watch};
use super::{directory, local};
use crate::client::Peer;
use crate::http::{Exchange, Incoming, Next};
use crate::wire::http::{Framing, RequestHead};

/// One client's connection, whose requests the cover may have to answer. What is asked of
/// a site goes over one connection to it, so that the site decides how long the client's
/// is kept, as if there were nobody in between.
pub(crate) struct Visit {
    cover: Rc<Cover>,
    peer: Peer,
    /// A connection that can be asked again.
    kept: Option<KeptConnection>,
    /// The number of the last request that was asked on it.
    last: u64,
    /// What must not be handed on.
    is_secret: Option<IsSecret>,
    /// The client is a web server, with requests of others.
    is_shared: bool,
}

/// The status where all places at sites are taken.
const FULL: u16 = 503;

impl Cover {
    /// For a client's connection. It asks no site before it has to.
    pub(crate) fn visit(self: &Rc<Self>, peer: Peer) -> Visit {
        Visit::new(self, peer)
    }
}

impl Visit {
    fn new(cover: &Rc<Cover>, peer: Peer) -> Self {
        Self {
            cover: cover.clone(),
            peer,
            kept: None,
            last: 0,
            is_secret: None,
            is_shared: false,
        }
    }

    /// From here on nothing is handed on in which there is one.
    pub(crate) fn keep_back(&mut self, is_secret: IsSecret) {
        self.is_secret = Some(is_secret);
    }

    /// The client is a web server, with requests of others: what is none to us gets one
    /// answer, and then the connection ends.
    pub(crate) fn share(&mut self) {
        self.is_shared = true;
    }

    /// What is asked next is this client's, of the web server's that it comes by.
    pub(crate) fn go_on_for(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// The next request. Where the site ends its connection meanwhile, as sites do with
    /// those that are idle, and has answered the last request, so does the client's end.
    pub(crate) async fn next(&mut self, exchange: &mut Exchange) -> Incoming {
        let mut wait = exchange.wait();
        poll_fn(|cx| {
            if let Poll::Ready(incoming) = exchange.poll_next(cx, &mut wait) {
                return Poll::Ready(incoming);
            }
            if self.kept.as_ref().is_some_and(|kept| kept.poll_ended(cx)) {
                self.kept = None;
                if self.last == exchange.requests() && exchange.received().is_empty() {
                    return Poll::Ready(Incoming::End);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the site answer, both streamed. What the request turns into, by an upgrade for
    /// instance, is relayed to its end.
    pub(crate) async fn answer(&mut self, exchange: &mut Exchange, request: &RequestHead) -> Next {
        self.last = exchange.requests();
        let cover = self.cover.clone();
        match &cover.source {
            Source::Directory(files) => directory::answer(exchange, request, files).await,
            Source::Site(site) => self.ask(site, exchange, request).await,
        }
    }

    async fn ask(&mut self, site: &Site, exchange: &mut Exchange, request: &RequestHead) -> Next {
        let mut kept = self.take_kept();
        loop {
            let was_kept = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.connect(site).await {
                    Ok(connection) => connection,
                    Err(status) => return local::answer(exchange, request, status).await,
                },
            };
            let context = &self.cover.context.http;
            let transfer = Transfer::new(context, exchange, request, &mut connection);
            let (outcome, to_site, to_client) = transfer.run().await;
            return match outcome {
                Outcome::Answered { keeps_alive } => {
                    if !(keeps_alive && request.keeps_alive()) {
                        return Next::Close;
                    }
                    self.kept = Some(connection);
                    Next::KeepAlive
                }
                // It had ended before it was asked.
                Outcome::Unanswered if was_kept && may_be_asked_again(request) => continue,
                Outcome::Unanswered | Outcome::Broken => Next::Close,
                Outcome::Raw => {
                    self.go_raw(exchange, connection, to_site, to_client).await;
                    Next::Close
                }
            };
        }
    }

    /// Hands on what has come and is no request, and all that follows, until one of both
    /// has ended.
    pub(crate) async fn relay_raw(&mut self, exchange: &mut Exchange) {
        let cover = self.cover.clone();
        let Source::Site(site) = &cover.source else {
            return local::refuse(exchange).await;
        };
        let connection = match self.take_kept() {
            Some(connection) => connection,
            None => match self.connect(site).await {
                Ok(connection) => connection,
                Err(_) => return,
            },
        };
        let buffers = &self.cover.context.http.buffers;
        let (to_site, to_client) = (Flow::new(buffers), Flow::new(buffers));
        self.go_raw(exchange, connection, to_site, to_client).await;
    }

    async fn go_raw(
        &self,
        exchange: &mut Exchange,
        connection: KeptConnection,
        mut to_site: Flow,
        mut to_client: Flow,
    ) {
        let (client, site) = (exchange.connection().clone(), &connection.connection);
        let asked = exchange.take_received();
        let mut watch = self.is_secret.as_ref().map(Watch::new);
        if watch.as_mut().is_some_and(|watch| watch.sees(&asked)) {
            return;
        }
        let mut answer = self.is_shared.then(|| OneAnswer::new(&asked));
        let said = &*connection.received;
        let of_answer = match &mut answer {
            Some(answer) => answer.measure(said),
            None => said.len(),
        };
        let said = said.get(..of_answer).unwrap_or(said);
        let sent = to_site.send(site, &asked);
        if sent.is_err() || to_client.send(&client, said).is_err() {
            return;
        }
        let context = &self.cover.context.http;
        let relay = RawRelay::new(context, (&client, to_client), (site, to_site));
        relay.bounded(watch, answer).run().await;
    }

    /// The connection that is kept, if it can be asked for this client.
    fn take_kept(&mut self) -> Option<KeptConnection> {
        let mut kept = self.kept.take().filter(|kept| !kept.has_ended())?;
        kept.pass_to(self.peer.client).then_some(kept)
    }

    /// A new one, or the status that tells that there is none.
    async fn connect(&self, site: &Site) -> Result<KeptConnection, u16> {
        let context = &self.cover.context;
        let reactor = &context.http.reactor;
        let (address, guests) = (self.peer.client.ip(), &context.guests);
        let Some(guest) = guests.enter(reactor, address).await else {
            guests.tell_refusal(address, reactor.now());
            return Err(FULL);
        };
        let connected = site.connect(context, self.peer).await;
        let connection = connected.map_err(|failure| failure.status())?;
        let told = site.told(self.peer.client);
        Ok(KeptConnection::new(connection, guest, told))
    }
}

/// Asking twice does the same as asking once, and all of the request is still here.
fn may_be_asked_again(request: &RequestHead) -> bool {
    let is_safe = matches!(request.method(), b"GET" | b"HEAD" | b"OPTIONS");
    is_safe && request.framing() == Framing::Length(0)
}
