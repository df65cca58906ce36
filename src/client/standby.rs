//! The site has an answer to whatever is no handshake: it is asked while one is
//! unfinished, and takes over where one fails.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::accepted::Accepted;
use super::arrival::Arrival;
use super::opening::Opening;
use super::sites::{Ending, Judgement, Manners, OwnEnd, SiteVisit};
use crate::metrics::RejectReason;
use crate::wire::client_hello::{self, Parsed};

/// So long after it began, an unfinished handshake goes to the site, which may answer
/// it or lose patience as it would with anybody. Clients send theirs at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Watches a handshake and has the site ready.
pub(super) struct SiteStandby<'a> {
    arrival: &'a Arrival<'a>,
    opening: &'a Opening,
    visit: RefCell<Option<SiteVisit>>,
    /// Of the bytes received, those that the site has.
    sent: Cell<usize>,
    /// When it was accepted, or had the place for which it had to wait.
    began: Instant,
}

impl<'a> SiteStandby<'a> {
    pub(crate) fn new(arrival: &'a Arrival<'a>, opening: &'a Opening, began: Instant) -> Self {
        Self {
            arrival,
            opening,
            visit: RefCell::default(),
            sent: Cell::new(0),
            began,
        }
    }

    /// The outcome of a handshake, which ends too when `limit` is over or when
    /// the site has an answer to what came. The wait for a place counts for itself,
    /// and who was answered gets the time that the site gives.
    pub(crate) async fn watch(
        &self,
        limit: Duration,
        shaking: impl Future<Output = Result<Accepted, RejectReason>>,
    ) -> Result<Accepted, RejectReason> {
        let context = self.arrival.context;
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

    /// Completes when the site speaks or hangs up. Once the peer is answered, or
    /// known, it never does: the site is left then.
    async fn hear_site(&self) {
        if !self.opening.is_settled() {
            let settled = async {
                self.opening.settled().await;
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
        let reactor = &self.arrival.context.reactor;
        while let Some(end) = self.own_end() {
            let left = end.at.saturating_duration_since(reactor.now());
            if left.is_zero() {
                return;
            }
            reactor.sleep(left).await;
        }
        pending().await
    }

    /// When and how the site ends a connection on which nothing or half a hello has
    /// come, as far as that is known.
    fn own_end(&self) -> Option<OwnEnd> {
        let visit = self.visit.borrow();
        let manners = visit.as_ref()?.manners();
        let ending = self.opening.with(|received| {
            let at_once = received.len() == self.sent.get();
            manners.wordless(received, at_once)
        });
        self.end_by(&manners, ending)
    }

    /// The same where a whole hello has come, and nothing behind it.
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
        let ending = ending.filter(|_| !self.opening.has_ended())?;
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
        let Arrival {
            context,
            socket,
            peer,
            ..
        } = self.arrival;
        let sites = &context.sites;
        let place = self.arrival.at_site.take();
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
    pub(crate) async fn take_over(self, reason: RejectReason) -> Option<(SiteVisit, Vec<u8>)> {
        if !self.opening.concerns_site(reason) {
            return None;
        }
        let judgement = match self.arrival.is_flooding.get() {
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
        self.arrival.context.metrics.fronted.inc(reason);
        Some((visit, rest))
    }
}
