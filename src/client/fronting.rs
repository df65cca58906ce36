//! What a stranger sees: the site, with every byte that it sent.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::ClientContext;
use super::farewell::patience;
use super::handshake::Accepted;
use super::roll_call::LONGEST_WAIT;
use super::sites::{Ending, How, Judgement, Manners, OwnEnd, SiteVisit};
use super::visit::Visit;
use crate::metrics::RejectReason;
use crate::net::{Notify, OneWay, OneWayParts, Socket, Timer};
use crate::wire::after_flight::{Judge, Verdict};
use crate::wire::client_hello::{self, Parsed};

/// How long a handshake may be unfinished before the site hears of it: its own
/// patience, and its own answer to what is no handshake at all, begin then.
/// Clients send theirs at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the site gets in one piece if it came so, in bytes: a server that has enough
/// after the first piece answers the next one with a reset.
const MOST_AT_ONCE: u64 = 16 * 1024;

/// Longer than servers wait for anything themselves.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The same when one side has said its last, as in the kernel's FIN-WAIT-2.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(60);

/// The beginning of a connection, which its handshake and the site both have
/// to see.
#[derive(Default)]
pub(super) struct Opening {
    received: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
    is_known: Cell<bool>,
    /// It was answered, as a site of these manners does.
    answered: OnceCell<Rc<Manners>>,
    /// One of the two has changed.
    settled: Notify,
    /// Hears what comes after the answer.
    judge: RefCell<Judge>,
}

impl Opening {
    /// Lends what came so far.
    pub fn with<T>(&self, look: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        look(&mut self.received.borrow_mut())
    }

    /// Reads at most `wanted` bytes more; 0 is the end, or an error.
    pub async fn read(&self, socket: &Socket, wanted: usize) -> usize {
        poll_fn(|cx| {
            let mut received = self.received.borrow_mut();
            let start = received.len();
            received.resize(start + wanted, 0);
            let space = received.get_mut(start..).unwrap_or_default();
            let read = socket.poll_read(cx, space);
            let length = match &read {
                Poll::Ready(Ok(length)) => *length,
                _ => 0,
            };
            received.truncate(start + length);
            read.map(|read| {
                self.has_ended.set(matches!(read, Ok(0)));
                length
            })
        })
        .await
    }

    /// Reads what else is there already.
    async fn read_waiting(&self, socket: &Socket) {
        let wanted = socket.waiting().min(MOST_AT_ONCE);
        if wanted > 0 {
            self.read(socket, wanted as usize).await;
        }
    }

    /// From here on the peer knows that we are no web server, unless we end it as
    /// the site would: by these.
    pub fn answer(&self, manners: Rc<Manners>) {
        let _ = self.answered.set(manners);
        self.settled.notify();
    }

    /// `Some` once it was answered.
    pub fn manners(&self) -> Option<&Manners> {
        self.answered.get().map(Rc::as_ref)
    }

    /// What came after the answer.
    pub fn hear(&self, bytes: &[u8]) {
        self.judge.borrow_mut().hear(bytes);
    }

    /// What a server makes of that which has not the client's keys.
    pub fn verdict(&self) -> Option<Verdict> {
        self.judge.borrow().verdict()
    }

    /// The peer knows a secret: while it waits for its place the site has no say.
    pub fn known(&self) {
        self.is_known.set(true);
        self.settled.notify();
    }

    /// From accepting on; `limit` is for those of whom nothing is known.
    pub fn patience(&self, limit: Duration) -> Duration {
        let known = self.is_known.get().then_some(limit + LONGEST_WAIT);
        let answered = self.manners().map(|manners| patience(manners, limit));
        known.max(answered).unwrap_or(limit)
    }

    fn is_settled(&self) -> bool {
        self.manners().is_some() || self.is_known.get()
    }

    /// The site has something to say to that.
    fn concerns_site(&self, reason: RejectReason) -> bool {
        if matches!(
            reason,
            RejectReason::Evicted | RejectReason::TooManyClients | RejectReason::BadProxyHeader
        ) {
            // A relay is no stranger, nor is a client for whom there is no place.
            return false;
        }
        let left = reason == RejectReason::Abandoned;
        let said_its_last = self.has_ended.get() && !self.received.borrow().is_empty();
        self.manners().is_none() && (!left || said_its_last)
    }
}

/// Watches a handshake and has the site ready.
pub(super) struct Reserve<'a> {
    stranger: &'a Visit<'a>,
    opening: &'a Opening,
    visit: RefCell<Option<SiteVisit>>,
    /// Of the bytes received, those that the site has.
    sent: Cell<usize>,
    /// When it was accepted, as far as it can tell.
    began: Instant,
}

impl<'a> Reserve<'a> {
    pub fn new(stranger: &'a Visit<'a>, opening: &'a Opening, began: Instant) -> Self {
        Self {
            stranger,
            opening,
            visit: RefCell::default(),
            sent: Cell::new(0),
            began,
        }
    }

    /// The outcome of a handshake, which ends too when `limit` is over or when
    /// the site has an answer to what came. The wait for a place counts for itself,
    /// and who was answered gets the time that the site gives.
    pub async fn watch(
        &self,
        limit: Duration,
        shaking: impl Future<Output = Result<Accepted, RejectReason>>,
    ) -> Result<Accepted, RejectReason> {
        let context = self.stranger.context;
        let reactor = &context.reactor;
        let site_first = async {
            if !context.sites.is_on() {
                pending().await
            }
            reactor.sleep(PATIENCE).await;
            // In a box, which few get to need.
            Box::pin(self.hear_site()).await;
            Err(RejectReason::SiteAnswered)
        };
        let mut first = pin!(smol::future::or(shaking, site_first));
        let mut end = self.began + limit;
        loop {
            let left = end.saturating_duration_since(reactor.now());
            if let Some(outcome) = reactor.timeout(left, first.as_mut()).await {
                return outcome;
            }
            let later = self.began + self.opening.patience(limit);
            if later <= end {
                return Err(RejectReason::TimedOut);
            }
            end = later;
        }
    }

    /// Until the site speaks or hangs up. When the peer is answered, or known, the
    /// site is left.
    async fn hear_site(&self) {
        if !self.opening.is_settled() {
            let settled = async {
                let opening = &self.opening;
                opening.settled.until(|| opening.is_settled()).await;
                false
            };
            let spoke = async {
                self.open(Judgement::Undecided).await;
                let speaks = poll_fn(|cx| self.poll_site(cx));
                smol::future::or(speaks, self.reach_own_end()).await;
                true
            };
            if smol::future::or(settled, spoke).await {
                return;
            }
            self.visit.take();
        }
        pending().await
    }

    fn poll_site(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.visit.borrow() {
            Some(visit) => visit.socket.poll_peek(cx, &mut [0]).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// Until the site would have ended the connection.
    async fn reach_own_end(&self) {
        let reactor = &self.stranger.context.reactor;
        while let Some(end) = self.own_end() {
            let left = end.at.saturating_duration_since(reactor.now());
            if left.is_zero() {
                return;
            }
            reactor.sleep(left).await;
        }
        pending().await
    }

    /// How it ends one on which no handshake has begun or half a hello has come, as
    /// far as it is known.
    fn own_end(&self) -> Option<OwnEnd> {
        let visit = self.visit.borrow();
        let manners = visit.as_ref()?.manners();
        let ending = self.opening.with(|received| {
            let at_once = received.len() == self.sent.get();
            manners.wordless(received, at_once)
        });
        self.end_by(&manners, ending)
    }

    /// The same of one on which a hello has come, and nothing else.
    fn end_after_hello(&self) -> Option<OwnEnd> {
        let visit = self.visit.borrow();
        let manners = visit.as_ref()?.manners();
        let is_all = self.opening.with(|received| {
            let consumed = match client_hello::parse(received) {
                Ok(Parsed::Complete { consumed, .. }) => Some(consumed),
                _ => None,
            };
            consumed == Some(received.len())
        });
        self.end_by(&manners, manners.answered().filter(|_| is_all))
    }

    fn end_by(&self, manners: &Manners, ending: Option<Ending>) -> Option<OwnEnd> {
        let ending = ending.filter(|_| !self.opening.has_ended.get())?;
        Some(OwnEnd {
            at: self.began + ending.after,
            how: ending.how,
            unheard: 0,
            is_firm: manners.counts_from_accepting(),
        })
    }

    /// Connects to the site, which gets what the peer has sent so far.
    async fn open(&self, judgement: Judgement) {
        if self.visit.borrow().is_some() {
            return;
        }
        let received = self.opening.with(|received| received.clone());
        let Visit {
            context,
            socket,
            peer,
            ..
        } = self.stranger;
        let sites = &context.sites;
        let place = self.stranger.at_site.take();
        let visit = sites.visit(socket, peer.get(), &received, judgement, place);
        let visit = visit.await;
        if let Some(visit) = &visit {
            if judgement != Judgement::Undecided {
                self.opening.read_waiting(socket).await;
            }
            let sent = |received: &mut Vec<u8>| visit.socket.try_write(received);
            self.sent.set(self.opening.with(sent).unwrap_or(0));
        }
        self.visit.replace(visit);
    }

    /// The connection to the site for a peer that was rejected, with what the
    /// site has not got; `None`: the site is of no concern, or cannot be had.
    pub async fn take_over(self, reason: RejectReason) -> Option<(SiteVisit, Vec<u8>)> {
        if !self.opening.concerns_site(reason) {
            return None;
        }
        let judgement = match self.stranger.is_over.get() {
            true => Judgement::Crowd,
            false => Judgement::Stranger,
        };
        let is_silent = matches!(reason, RejectReason::TimedOut | RejectReason::SiteAnswered);
        let before = is_silent.then(|| self.own_end()).flatten();
        self.open(judgement).await;
        let end = match judgement {
            Judgement::Stranger => before.or_else(|| self.end_after_hello()),
            // It may have waited for longer than the site does.
            _ => before,
        };
        let mut visit = self.visit.into_inner()?;
        let rest = self
            .opening
            .with(|received| received.split_off(self.sent.get().min(received.len())));
        let unheard = rest.len() as u64;
        visit.end = end.map(|end| Box::new(OwnEnd { unheard, ..end }));
        self.stranger.context.metrics.fronted.inc(reason);
        Some((visit, rest))
    }
}

/// A stranger and its site, until one of them has enough.
pub(super) struct SiteRelay {
    context: Rc<ClientContext>,
    stranger: Socket,
    visit: SiteVisit,
    to_site: OneWay,
    to_stranger: OneWay,
    timer: Timer,
    moved: u64,
    last_moved: Instant,
}

/// Whatever ends it, the stranger sees an end and no reset but the site's.
impl Drop for SiteRelay {
    fn drop(&mut self) {
        self.context.let_go(&self.stranger);
    }
}

impl SiteRelay {
    /// The site gets `first` first.
    pub fn new(
        context: &Rc<ClientContext>,
        stranger: Socket,
        visit: SiteVisit,
        first: &[u8],
    ) -> Box<Self> {
        Box::new(Self {
            to_site: OneWay::starting_with(&context.buffers, first),
            to_stranger: OneWay::default(),
            timer: context.reactor.timer(),
            moved: 0,
            last_moved: context.reactor.now(),
            context: context.clone(),
            stranger,
            visit,
        })
    }

    pub async fn run(mut self: Box<Self>) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if ended.is_err() {
            // As it would be without us in between.
            let _ = self.stranger.set_reset_on_close();
            let _ = self.visit.socket.set_reset_on_close();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let parts = OneWayParts {
            pipes: &self.context.pipes,
            scratch: &self.context.scratch,
            buffers: &self.context.buffers,
        };
        let (stranger, site) = (&self.stranger, &self.visit.socket);
        self.to_site.advance(cx, &parts, stranger, site)?;
        self.to_stranger.advance(cx, &parts, site, stranger)?;
        if self.to_site.is_done() && self.to_stranger.is_done() {
            return Poll::Ready(Ok(()));
        }
        if self.to_stranger.moved() > 0 {
            self.visit.answered();
        }
        self.poll_idle(cx)
    }

    /// The site's own, as long as nothing has come that moves it.
    fn own_end(&self) -> Option<&OwnEnd> {
        let (heard, said) = (self.to_site.moved(), self.to_stranger.moved());
        let holds = |own: &&OwnEnd| match own.is_firm {
            true => said == 0 || heard <= own.unheard,
            false => heard + said == 0,
        };
        let is_open = !self.to_site.is_done() && !self.to_stranger.is_done();
        self.visit
            .end
            .as_deref()
            .filter(|own| is_open && holds(own))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.context.reactor.now();
        let moved = self.to_site.moved() + self.to_stranger.moved();
        if moved != self.moved {
            self.moved = moved;
            self.last_moved = now;
        }
        let limit = if self.to_site.is_done() || self.to_stranger.is_done() {
            HALF_CLOSED_LIMIT
        } else {
            IDLE_LIMIT
        };
        let mut end = self.last_moved + limit;
        if let Some(own) = self.own_end() {
            if own.at <= now {
                return Poll::Ready(match own.how {
                    How::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                    _ => Ok(()),
                });
            }
            end = end.min(own.at);
        }
        // Not moved at every byte: it looks again when it fires.
        self.timer.set_earlier(end);
        while self.timer.poll_expired(cx).is_ready() {
            if end <= now {
                return Poll::Ready(Ok(()));
            }
            self.timer.set(end);
        }
        Poll::Pending
    }
}
