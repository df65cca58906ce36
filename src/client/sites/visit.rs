//! A stranger's connection to its site.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::guests::{Guest, Judgement};
use super::loops::{Begun, Circle, Comer, MAX_ROUNDS};
use super::site::Site;
use super::{How, Loops, Manners, Sites};
use crate::client::peer::Peer;
use crate::metrics::FrontingFailure;
use crate::net::Socket;
use crate::wire::client_hello::{self, Parsed};
use crate::wire::proxy_protocol::{ProxyAddresses, encode_v2};

/// A stranger's connection to its site, as long as it lasts.
pub(in crate::client) struct SiteVisit {
    pub(crate) socket: Socket,
    sites: Rc<Sites>,
    site: Rc<Site>,
    /// Until it is answered.
    on_its_way: Cell<Option<Begun>>,
    /// A hello has been on its way since then, and is not answered.
    asked: Cell<Option<Instant>>,
    /// In a box: not all have one.
    pub(crate) end: Option<Box<OwnEnd>>,
    _guest: Guest,
}

/// How the site would end the stranger's connection, had it been the site's own from
/// the start.
pub(in crate::client) struct OwnEnd {
    pub(crate) at: Instant,
    pub(crate) how: How,
    /// Bytes that the stranger had sent and the site had not got then. They change
    /// nothing.
    pub(crate) unheard: u64,
    /// Nothing that the stranger says before its handshake is over changes it.
    pub(crate) is_firm: bool,
}

impl Sites {
    /// Connects the peer of `client` to the site that the bytes that it sent so
    /// far ask for, and counts why it cannot. The site has got none of them
    /// yet. Who is known to be no client waits for a place there, if it does not
    /// have one. `None` too when strangers are not connected to a site at all.
    pub(in crate::client) async fn visit(
        self: &Rc<Self>,
        client: &Socket,
        peer: Peer,
        received: &[u8],
        judgement: Judgement,
        place: Option<Guest>,
    ) -> Option<SiteVisit> {
        let (domain, is_whole) = match client_hello::parse(received) {
            Ok(Parsed::Complete { value, .. }) => (value.sni, true),
            _ => (None, false),
        };
        let site = self.site_for(domain.as_ref())?;
        let comer = Comer {
            client: peer.client,
            sender: client.peer_address().unwrap_or(peer.client),
            received,
            site: &site.known_addresses(),
        };
        let begun = match self.loops.begin(&comer) {
            Ok(begun) => begun,
            Err(circle) => {
                self.failed(&site, FrontingFailure::Loop);
                self.leads_back(&site, circle);
                if circle == Circle::Ports {
                    return None;
                }
                let later = self.loops.begin_later(&comer);
                self.unaccepted(client, later).await?
            }
        };
        let on_its_way = OnItsWay(&self.loops, Some(begun));
        let guest = match place.or_else(|| Guest::take(self, judgement)) {
            Some(guest) => guest,
            None => {
                self.failed(&site, FrontingFailure::TooMany);
                if judgement == Judgement::Undecided {
                    return None;
                }
                self.wait_for_place(client, judgement).await?
            }
        };
        let began = self.reactor.now();
        let is_timed = is_whole && judgement == Judgement::Stranger && site.is_resolved();
        let connecting = self.connect(peer, &site, received, on_its_way, guest);
        match connecting.await {
            Ok(visit) => {
                site.note(None, self.reactor.now());
                if is_timed {
                    visit.asked.set(Some(began));
                }
                Some(visit)
            }
            Err(failure) => {
                site.note(Some(failure), self.reactor.now());
                self.failed(&site, failure);
                None
            }
        }
    }

    async fn connect(
        self: &Rc<Self>,
        peer: Peer,
        site: &Rc<Site>,
        received: &[u8],
        mut on_its_way: OnItsWay<'_>,
        guest: Guest,
    ) -> Result<SiteVisit, FrontingFailure> {
        let socket = site.connect(self).await?;
        // Unix sockets have no address, and send at once anyway.
        if let Ok(from) = socket.local_address() {
            socket.set_nodelay();
            if let Some(begun) = &mut on_its_way.1 {
                self.loops.dialled(begun, peer.client, received, from);
            }
        }
        let visit = SiteVisit {
            socket,
            sites: self.clone(),
            site: site.clone(),
            on_its_way: Cell::new(on_its_way.1.take()),
            asked: Cell::new(None),
            end: None,
            _guest: guest,
        };
        visit.introduce(peer).await?;
        Ok(visit)
    }

    fn failed(&self, site: &Site, failure: FrontingFailure) {
        self.metrics.fronting_failures.inc(failure);
        let place = &site.place;
        if failure == FrontingFailure::OurAddress {
            self.leads_back(site, Circle::Ports);
        }
        if failure == FrontingFailure::TooMany
            && let Some(skipped) = self.crowd_log.pass(self.reactor.now())
        {
            info!(
                "a stranger sees a silent server: {failure}{skipped}; a larger --max-clients has \
                 places for more"
            );
        }
        debug!("a stranger cannot be connected to {place}: {failure}");
    }

    fn leads_back(&self, site: &Site, circle: Circle) {
        let place = &site.place;
        let Some(skipped) = self.loop_log.pass(self.reactor.now()) else {
            return;
        };
        match circle {
            Circle::Ports => warn!(
                "strangers see a silent server: {place} leads back to this proxy{skipped}; give \
                 the address of the real web server with --fronting HOST:PORT"
            ),
            Circle::Alike => warn!(
                "a stranger waits for the site: it comes from this network, and {MAX_ROUNDS} \
                 that begin like it wait for {place}, which leads back to this proxy or does not \
                 answer{skipped}; give the address of the real web server with --fronting \
                 HOST:PORT, and let a relay in front tell who comes (--proxy-protocol)"
            ),
        }
    }
}

impl SiteVisit {
    /// Tells the site the stranger's address, if it wants to know.
    async fn introduce(&self, peer: Peer) -> Result<(), FrontingFailure> {
        if !self
            .sites
            .config
            .with(|config| config.fronting.proxy_protocol)
        {
            return Ok(());
        }
        let Peer { client, local } = peer;
        let header = encode_v2(ProxyAddresses { client, local });
        let told = self.socket.write_all(&header).await;
        told.map_err(|_| FrontingFailure::Refused)
    }

    /// How the site ends connections.
    pub(crate) fn manners(&self) -> Rc<Manners> {
        self.sites.book.manners(&self.site.place)
    }

    /// The site sent something.
    pub(crate) fn answered(&self) {
        if let Some(asked) = self.asked.take() {
            let time = self.sites.reactor.now().duration_since(asked);
            self.sites.book.visited(&self.site.place, time);
        }
        self.is_no_loop();
    }

    /// This connection does not go round in circles.
    fn is_no_loop(&self) {
        if let Some(begun) = self.on_its_way.take() {
            self.sites.loops.answered(begun);
        }
    }
}

impl std::fmt::Display for SiteVisit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.site.place.fmt(f)
    }
}

impl Drop for SiteVisit {
    fn drop(&mut self) {
        self.is_no_loop();
    }
}

/// Forgets a connection that does not come about.
struct OnItsWay<'a>(&'a Loops, Option<Begun>);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.1.take() {
            self.0.answered(begun);
        }
    }
}
