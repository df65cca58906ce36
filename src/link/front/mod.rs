//! The front's half: opens links, and sessions on them.
//!
//! | File | What |
//! |---|---|
//! | `back_address.rs` | where a back is, and what its name leads to |
//! | `dial.rs` | keeps a link to a back: dials, and dials again |
//! | `dial_backoff.rs` | how long to wait before that, and whether to log it |
//! | `link.rs` | one link, and the streams on it |
//! | `shown.rs` | what the operator sees of them |
//! | `stream.rs` | one client's session on a link |
//! | `trial.rs` | a link that `check` tries |

mod back_address;
mod dial;
mod dial_backoff;
mod link;
#[cfg(feature = "ctl")]
mod shown;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "check")]
mod trial;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::LinkContext;
use super::security::Security;
use super::share::Share;
use crate::backend::{Backend, OpenError, PendingSession, Route, Session, SessionRequest, Sink};
use crate::config::{HostPort, LinkConfig};
use crate::log::Throttle;
use crate::net::{Live, Notify};
use crate::wire::dc::DcId;
use back_address::BackAddress;
use dial::Keeper;
use link::{FrontLink, Owner};
use stream::FrontStream;
#[cfg(feature = "check")]
pub(crate) use trial::Trial;

/// How long a DC's middle proxies count as out of reach after a back said so. Meanwhile
/// clients that may go direct do; for the others the back tries again.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(10);

/// At most so many DCs are remembered for that.
const UNAVAILABLE_DCS: usize = 32;

/// Between lines of one kind.
const LOG_PERIOD: Duration = Duration::from_secs(60);

type Wait<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The backend of a front: sessions on the links to its backs.
pub(crate) struct Front {
    context: Rc<LinkContext>,
    /// One for all links: of all clients, on whichever link, the largest is evicted.
    share: Share,
    security: RefCell<Rc<Security>>,
    config: Live<LinkConfig>,
    reloads: Cell<u32>,
    keepers: RefCell<Vec<Keeper>>,
    links: RefCell<Vec<Rc<FrontLink>>>,
    changed: Notify,
    unavailable: RefCell<Vec<(DcId, Instant)>>,
    /// That clients wait for a link has been said.
    has_complained: Cell<bool>,
    silences: Throttle,
    evictions: Throttle,
    closed: Cell<bool>,
}

impl Front {
    pub(crate) fn new(
        context: LinkContext,
        security: Security,
        config: Live<LinkConfig>,
    ) -> Rc<Self> {
        Rc::new(Self {
            share: Share::new(&context.whole(), "the backs"),
            context: Rc::new(context),
            security: RefCell::new(Rc::new(security)),
            config,
            reloads: Cell::default(),
            keepers: RefCell::default(),
            links: RefCell::default(),
            changed: Notify::default(),
            unavailable: RefCell::default(),
            has_complained: Cell::new(false),
            silences: Throttle::new(LOG_PERIOD),
            evictions: Throttle::new(LOG_PERIOD),
            closed: Cell::new(false),
        })
    }

    /// Keeps the links that the config wants, whatever it becomes.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut config = self.config.get();
        loop {
            self.connect(&config.backs, config.connections);
            config = self.config.after(&config).await;
        }
    }

    /// Keeps `connections` links to each of `backs` from now on. Links to other
    /// backs, and those beyond that number, get no more clients.
    fn connect(self: &Rc<Self>, backs: &[HostPort], connections: usize) {
        let mut keepers: Vec<Keeper> = Vec::new();
        let before = self.keepers.take();
        for keeper in before {
            let host = &keeper.target.host;
            let others = keepers.iter().filter(|kept| kept.target.host == *host);
            match backs.contains(host) && others.count() < connections {
                true => keepers.push(keeper),
                false => keeper.retire(),
            }
        }
        for back in backs {
            let known = keepers.iter().find(|kept| kept.target.host == *back);
            let target = known.map_or_else(
                || BackAddress::new(back.clone()),
                |kept| kept.target.clone(),
            );
            let kept = keepers.iter().filter(|kept| kept.target.host == *back);
            for _ in kept.count()..connections {
                keepers.push(Keeper::start(self, target.clone()));
            }
        }
        self.keepers.replace(keepers);
    }

    /// What links that are made now are secured with.
    pub(crate) fn security(&self) -> Rc<Security> {
        self.security.borrow().clone()
    }

    /// Secures links that are made from now on. What kept links from coming about may be
    /// mended by it, so the next dials come soon.
    pub(crate) fn reconfigure(&self, security: Security) {
        self.security.replace(Rc::new(security));
        self.reloads.set(self.reloads.get().wrapping_add(1));
        self.hasten();
    }

    /// Closes every link and makes no more.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        for link in self.links.borrow().iter() {
            link.connection.fail(super::fault::Fault::Shutdown);
        }
        self.changed.notify();
    }

    async fn open_session(
        &self,
        request: SessionRequest,
        sink: Rc<dyn Sink>,
    ) -> Result<Session, OpenError> {
        let may_skip = request.route == Route::Middle && request.has_other_route;
        if may_skip && self.is_unavailable(request.dc) {
            return Err(OpenError::MiddleUnavailable);
        }
        let reactor = &self.context.reactor;
        let link = reactor.timeout(self.wait(), self.link(request.route)).await;
        let link = link.unwrap_or(Err(OpenError::NoLink))?;
        if may_skip && link.lacks_middle.get() {
            return Err(OpenError::MiddleUnavailable);
        }
        Ok(link.open(request, sink))
    }

    /// The link with the fewest clients of those that answer and have room, as
    /// soon as there is one; one whose back reaches middle proxies, if those are asked for.
    async fn link(&self, route: Route) -> Result<Rc<FrontLink>, OpenError> {
        loop {
            if self.closed.get() {
                return Err(OpenError::Shutdown);
            }
            let best = {
                let links = self.links.borrow();
                let links = links.iter().filter(|link| !link.is_retired());
                // The number of clients alone would choose a link that stalls, as they leave
                // it.
                let best = links.min_by_key(|link| {
                    let connection = &link.connection;
                    let lacks_it = route == Route::Middle && link.lacks_middle.get();
                    let (is_silent, is_full) = (connection.is_silent(), connection.is_full());
                    (is_silent, is_full, lacks_it, link.load())
                });
                best.cloned()
            };
            match best {
                Some(link) if link.connection.is_silent() => {
                    self.complain_of_silence();
                    self.welcoming().await;
                }
                Some(link) if link.connection.is_full() => self.welcoming().await,
                Some(link) => return Ok(link),
                None => {
                    self.complain();
                    self.hasten();
                    self.changed.changed().await;
                }
            }
        }
    }

    /// Completes when some link answers and has room, or one ends, or there is a new one.
    async fn welcoming(&self) {
        let links = self.links.borrow().clone();
        // A retired one gets nobody, however much room it has.
        let links = links.iter().filter(|link| !link.is_retired());
        let rooms = links.map(|link| Box::pin(link.connection.welcoming()) as Wait<'_>);
        let mut waits: Vec<_> = rooms.collect();
        waits.push(Box::pin(self.changed.changed()));
        poll_fn(|cx| {
            let is_over = |wait: &mut Wait<'_>| wait.as_mut().poll(cx).is_ready();
            match waits.iter_mut().any(is_over) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// How long a client waits for a link.
    fn wait(&self) -> Duration {
        self.config.with(|config| config.wait)
    }

    /// The links that take clients, and how many there are to be.
    pub(crate) fn link_counts(&self) -> (usize, usize) {
        let links = self.links.borrow();
        let taking = |link: &&Rc<FrontLink>| !link.is_retired() && !link.connection.is_silent();
        let there = links.iter().filter(taking).count();
        (there, self.keepers.borrow().len())
    }

    fn complain(&self) {
        if !self.has_complained.replace(true) {
            warn!(
                "no link to a back: clients wait up to {} s for one, then they are closed; see \
                 whether the backs run, and the network between",
                self.wait().as_secs()
            );
        }
    }

    fn complain_of_silence(&self) {
        if let Some(skipped) = self.silences.pass(self.context.reactor.now()) {
            warn!(
                "no back answers: clients wait up to {} s for an answer or another link, then \
                 they are closed{skipped}; see whether the backs run, and the network between",
                self.wait().as_secs()
            );
        }
    }

    /// Somebody waits for a link: the next dials come soon.
    fn hasten(&self) {
        for keeper in self.keepers.borrow().iter() {
            keeper.pause.cut_short();
        }
    }

    /// Somebody waits for a link.
    fn is_awaited(&self) -> bool {
        self.changed.is_awaited()
    }

    fn add(&self, link: &Rc<FrontLink>) {
        self.context.metrics.links.inc();
        self.links.borrow_mut().push(link.clone());
        self.has_complained.set(false);
        self.changed.notify();
    }

    fn remove(&self, link: &Rc<FrontLink>) {
        self.context.metrics.links.dec();
        let mut links = self.links.borrow_mut();
        links.retain(|one| !Rc::ptr_eq(one, link));
    }

    fn is_unavailable(&self, dc: DcId) -> bool {
        let now = self.context.reactor.now();
        let mut unavailable = self.unavailable.borrow_mut();
        unavailable.retain(|(_, until)| now < *until);
        unavailable.iter().any(|(known, _)| *known == dc)
    }
}

impl Backend for Front {
    fn open(&self, request: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_> {
        Box::pin(self.open_session(request, sink))
    }
}

impl Owner for Front {
    fn largest(&self) -> Option<Rc<FrontStream>> {
        let links = self.links.borrow();
        let largest = links.iter().filter_map(|link| link.largest());
        largest.max_by_key(|stream| stream.held())
    }

    fn tell_eviction(&self) {
        if let Some(skipped) = self.evictions.pass(self.context.reactor.now()) {
            info!(
                "clients take less than the backs send: the one for which most waits is \
                 closed{skipped}; if that goes on, give this front a larger --buffers"
            );
        }
    }

    fn middle_unavailable(&self, dc: DcId) {
        if !self.is_unavailable(dc) && self.unavailable.borrow().len() < UNAVAILABLE_DCS {
            let until = self.context.reactor.now() + UNAVAILABLE_FOR;
            self.unavailable.borrow_mut().push((dc, until));
        }
    }
}
