//! What a stranger sees: the site, with every byte that it sent.

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

/// How long a handshake may be unfinished before the site hears of it: its own
/// patience, and its own answer to what is no handshake at all, begin then.
/// Clients send theirs at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches a handshake and has the site ready.
pub(super) struct SiteStandby<'a> {
    stranger: &'a Arrival<'a>,
    opening: &'a Opening,
    visit: RefCell<Option<SiteVisit>>,
    /// Of the bytes received, those that the site has.
    sent: Cell<usize>,
    /// When it was accepted, as far as it can tell.
    began: Instant,
}

impl<'a> SiteStandby<'a> {
    pub fn new(stranger: &'a Arrival<'a>, opening: &'a Opening, began: Instant) -> Self {
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
