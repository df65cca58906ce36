//! A client's connection at the cover.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use super::flow::Flow;
use super::origin::Origin;
use super::raw::RawRelay;
use super::site_line::SiteLine;
use super::transfer::{Outcome, Transfer};
use super::{Cover, Covers, Source, directory, local};
use crate::config::HostName;
use crate::http::{Exchange, Incoming, Next};
use crate::wire::http::{Framing, RequestHead};
use crate::wire::proxy_protocol::ProxyAddresses;

/// One client's connection, whose requests the cover may have to answer. What is asked of
/// a site goes over one connection to it, so that the site decides how long the client's
/// is kept, as if there were nobody in between.
pub(crate) struct Visit {
    covers: Rc<Covers>,
    addresses: ProxyAddresses,
    /// With whose site it is.
    line: Option<(SiteLine, Rc<Cover>)>,
    /// The last request was the site's.
    was_sites: bool,
}

/// The status where all places at sites are taken.
const FULL: u16 = 503;

impl Visit {
    pub(super) fn new(covers: &Rc<Covers>, addresses: ProxyAddresses) -> Self {
        Self {
            covers: covers.clone(),
            addresses,
            line: None,
            was_sites: false,
        }
    }

    /// For whom requests are made from here on, where a web server in front says so.
    pub(crate) fn set_client(&mut self, client: SocketAddr) {
        self.addresses.client = client;
    }

    /// The next request. Where the site ends its connection meanwhile, as sites do with
    /// those that are idle, so does the client's end.
    pub(crate) async fn next(&mut self, exchange: &mut Exchange) -> Incoming {
        let mut wait = exchange.wait();
        poll_fn(|cx| {
            if let Poll::Ready(incoming) = exchange.poll_next(cx, &mut wait) {
                return Poll::Ready(incoming);
            }
            let has_ended = |(line, _): &(SiteLine, _)| line.poll_ended(cx);
            if self.line.as_ref().is_some_and(has_ended) {
                self.line = None;
                if self.was_sites && exchange.received().is_empty() {
                    return Poll::Ready(Incoming::End);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Has answered a request by itself: the caller, which is none of the cover.
    pub(crate) fn not_the_sites(&mut self) {
        self.was_sites = false;
    }

    /// Lets the site of `host` answer, both streamed. What the request turns into, by an
    /// upgrade for instance, is relayed to its end.
    pub(crate) async fn answer(
        &mut self,
        exchange: &mut Exchange,
        request: &RequestHead,
        host: Option<&HostName>,
    ) -> Next {
        self.was_sites = true;
        let cover = self.covers.of(host);
        let next = match &cover.source {
            Source::Directory(files) => directory::answer(exchange, request, files).await,
            Source::Origin(origin) => self.ask(&cover, origin, exchange, request).await,
        };
        if next == Next::Close {
            self.line = None;
        }
        next
    }

    async fn ask(
        &mut self,
        cover: &Rc<Cover>,
        origin: &Origin,
        exchange: &mut Exchange,
        request: &RequestHead,
    ) -> Next {
        let mut kept = self.take_line(cover);
        loop {
            let was_kept = kept.is_some();
            let mut line = match kept.take() {
                Some(line) => line,
                None => match self.connect(origin).await {
                    Ok(line) => line,
                    Err(status) => return local::answer(exchange, request, status).await,
                },
            };
            let context = self.covers.context.http.clone();
            let transfer = Transfer::new(&context, exchange, request, &mut line);
            let (outcome, to_site, to_client) = transfer.run().await;
            return match outcome {
                Outcome::Answered { keeps_alive } => {
                    if !(keeps_alive && request.keeps_alive()) {
                        return Next::Close;
                    }
                    self.line = Some((line, cover.clone()));
                    Next::KeepAlive
                }
                // It had ended before it was asked.
                Outcome::Unanswered if was_kept && may_be_asked_again(request) => continue,
                Outcome::Unanswered | Outcome::Broken => Next::Close,
                Outcome::Raw => {
                    self.go_raw(exchange, line, to_site, to_client).await;
                    Next::Close
                }
            };
        }
    }

    /// Hands on what has come and is no request, and all that follows, until one of both
    /// has ended.
    pub(crate) async fn relay_raw(&mut self, exchange: &mut Exchange, host: Option<&HostName>) {
        let cover = self.covers.of(host);
        let Source::Origin(origin) = &cover.source else {
            return local::refuse(exchange).await;
        };
        let line = match self.take_line(&cover) {
            Some(line) => line,
            None => match self.connect(origin).await {
                Ok(line) => line,
                Err(_) => return,
            },
        };
        let buffers = &self.covers.context.http.buffers;
        let (to_site, to_client) = (Flow::new(buffers), Flow::new(buffers));
        self.go_raw(exchange, line, to_site, to_client).await;
    }

    async fn go_raw(
        &self,
        exchange: &mut Exchange,
        line: SiteLine,
        mut to_site: Flow,
        mut to_client: Flow,
    ) {
        let (client, site) = (exchange.connection().clone(), &line.connection);
        let sent = to_site.send(site, &exchange.take_received());
        if sent.is_err() || to_client.send(&client, &line.received).is_err() {
            return;
        }
        let context = &self.covers.context.http;
        let relay = RawRelay::new(context, (&client, to_client), (site, to_site));
        relay.run().await;
    }

    /// The connection that is kept with the site of `cover`, if it can be asked.
    fn take_line(&mut self, cover: &Rc<Cover>) -> Option<SiteLine> {
        let (line, of) = self.line.take()?;
        (Rc::ptr_eq(&of, cover) && !line.has_ended()).then_some(line)
    }

    /// A new one, or the status that tells that there is none.
    async fn connect(&self, origin: &Origin) -> Result<SiteLine, u16> {
        let context = &self.covers.context;
        let guest = context
            .guests
            .take(self.addresses.client.ip())
            .ok_or(FULL)?;
        let connected = origin.connect(context, self.addresses).await;
        let connection = connected.map_err(|failure| failure.status())?;
        Ok(SiteLine::new(connection, guest))
    }
}

/// Asking twice does the same as asking once, and all of the request is still here.
fn may_be_asked_again(request: &RequestHead) -> bool {
    let is_safe = matches!(request.method(), b"GET" | b"HEAD" | b"OPTIONS");
    is_safe && request.framing() == Framing::Length(0)
}
