use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::loops::Likeness;
use super::site::Site;
use super::{How, Manners, Sites};
use crate::client::visit::Peer;
use crate::metrics::FrontingFailure;
use crate::net::Socket;
use crate::wire::client_hello::{self, Parsed};
use crate::wire::proxy_protocol::{ProxyAddresses, encode_v2};

/// A stranger's connection to its site, as long as it lasts.
pub(in crate::client) struct SiteVisit {
    pub socket: Socket,
    sites: Rc<Sites>,
    site: Rc<Site>,
    /// Our end of it until it is answered; Unix sockets have none.
    from: Cell<Option<SocketAddr>>,
    unanswered: Cell<Option<Likeness>>,
    pub expects: Cell<Expected>,
    _stranger: Stranger,
}

/// What the site is known to do next.
#[derive(Clone, Copy)]
pub(in crate::client) enum Expected {
    /// To answer a hello, which has been on its way since then.
    Answer(Instant),
    /// To end it by then, had it been connected when the stranger was.
    End(Instant, How),
    Nothing,
}

/// One of those that may be there at a time.
struct Stranger(Rc<Sites>);

/// What is known of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Judgement {
    /// No client.
    Stranger,
    /// It may still become one. Those take half the places at most, so that
    /// silent connections do not keep a prober from the site.
    Undecided,
}

impl Sites {
    /// Connects the peer of `client` to the site that the bytes that it sent so
    /// far ask for, and counts why it cannot. The site has got none of them
    /// yet. `None` too when strangers are not connected to a site at all.
    pub(in crate::client) async fn visit(
        self: &Rc<Self>,
        client: &Socket,
        peer: Peer,
        received: &[u8],
        judgement: Judgement,
    ) -> Option<SiteVisit> {
        let began = self.reactor.now();
        let (domain, is_whole) = match client_hello::parse(received) {
            Ok(Parsed::Complete { value, .. }) => (value.sni, true),
            _ => (None, false),
        };
        let site = self.site_for(domain.as_ref())?;
        let is_timed = is_whole && judgement == Judgement::Stranger && site.is_resolved();
        match self.connect(client, peer, &site, received, judgement).await {
            Ok(visit) => {
                site.note(None);
                if is_timed {
                    visit.expects.set(Expected::Answer(began));
                }
                Some(visit)
            }
            Err(failure) => {
                site.note(Some(failure));
                self.failed(&site, failure);
                None
            }
        }
    }

    async fn connect(
        self: &Rc<Self>,
        client: &Socket,
        peer: Peer,
        site: &Rc<Site>,
        received: &[u8],
        judgement: Judgement,
    ) -> Result<SiteVisit, FrontingFailure> {
        let sender = client.peer_address().ok();
        if sender.is_some_and(|sender| self.loops.is_from_us(sender)) {
            site.avoid(self.reactor.now());
            return Err(FrontingFailure::Loop);
        }
        let stranger = Stranger::new(self, judgement).ok_or(FrontingFailure::TooMany)?;
        let likeness = self.loops.begin(received).ok_or(FrontingFailure::Loop)?;
        let unanswered = Unanswered(self, Cell::new(Some(likeness)));
        let socket = site.connect(self).await?;
        let from = socket.local_address().ok();
        // Unix sockets send at once anyway.
        if let Some(from) = from {
            socket.set_nodelay();
            self.loops.dialled(from);
        }
        let visit = SiteVisit {
            socket,
            sites: self.clone(),
            site: site.clone(),
            from: Cell::new(from),
            unanswered: Cell::new(unanswered.1.take()),
            expects: Cell::new(Expected::Nothing),
            _stranger: stranger,
        };
        visit.introduce(peer).await?;
        Ok(visit)
    }

    fn failed(&self, site: &Site, failure: FrontingFailure) {
        self.metrics.fronting_failures.inc(failure);
        let place = &site.place;
        let leads_back = matches!(failure, FrontingFailure::OurAddress | FrontingFailure::Loop);
        // Eight that wait for an answer look the same, whoever gives none.
        let what = match failure {
            FrontingFailure::Loop => "leads back to this proxy, or does not answer",
            _ => "leads back to this proxy",
        };
        if leads_back && let Some(skipped) = self.loop_log.pass() {
            warn!(
                "strangers see a silent server: {place} {what}{skipped}; give the address of the real web server with --fronting HOST:PORT"
            );
        }
        if failure == FrontingFailure::TooMany
            && let Some(skipped) = self.crowd_log.pass()
        {
            info!(
                "a stranger sees a silent server: {failure}{skipped}; a larger --max-clients has \
                 places for more"
            );
        }
        debug!("a stranger cannot be connected to {place}: {failure}");
    }
}

impl SiteVisit {
    /// Tells the site the stranger's address, if it wants to know.
    async fn introduce(&self, peer: Peer) -> Result<(), FrontingFailure> {
        if !self.sites.settings.borrow().fronting.proxy_protocol {
            return Ok(());
        }
        let Peer { client, local } = peer;
        let header = encode_v2(ProxyAddresses { client, local });
        let told = self.socket.write_all(&header).await;
        told.map_err(|_| FrontingFailure::Refused)
    }

    /// How the site ends connections.
    pub fn manners(&self) -> Rc<Manners> {
        self.sites.book.manners(&self.site.place)
    }

    /// The site sent something.
    pub fn answered(&self) {
        if let Expected::Answer(asked) = self.expects.replace(Expected::Nothing) {
            let time = self.sites.reactor.now().duration_since(asked);
            self.sites.book.visited(&self.site.place, time);
        }
        self.is_no_loop();
    }

    /// This connection does not go round in circles.
    /// Another connection may come from the same address and port as this one
    /// of ours, as long as they lead to different ones.
    fn is_no_loop(&self) {
        if let Some(from) = self.from.take() {
            self.sites.loops.forget(from);
        }
        if let Some(likeness) = self.unanswered.take() {
            self.sites.loops.answered(likeness);
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

/// Takes the likeness back of a connection that does not come about.
struct Unanswered<'a>(&'a Sites, Cell<Option<Likeness>>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(likeness) = self.1.take() {
            self.0.loops.answered(likeness);
        }
    }
}

impl Stranger {
    fn new(sites: &Rc<Sites>, judgement: Judgement) -> Option<Self> {
        let most = match (judgement, sites.settings.borrow().most_strangers) {
            (Judgement::Stranger, most) => most,
            (Judgement::Undecided, most) => most / 2,
        };
        if sites.strangers.get() >= most {
            return None;
        }
        sites.strangers.set(sites.strangers.get() + 1);
        sites.metrics.fronted_now.inc();
        Some(Self(sites.clone()))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.strangers.set(self.0.strangers.get() - 1);
        self.0.metrics.fronted_now.dec();
    }
}
