//! All web sessions: who may begin one, which of them goes when there are too many, and
//! when one is over that nothing is heard of.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::WebContext;
use super::beginnings::Beginnings;
use super::hosts::Access;
use super::session::Session;
use crate::client::Peer;
use crate::guard::fair_queue::Origin;
use crate::metrics::WebEnd;
use crate::net::Notify;
use crate::wire::secret::Secret;
use crate::wire::web::Ticket;

/// How long a session without a WebSocket may be silent.
const SILENCE: Duration = Duration::from_secs(120);

/// For how long a session that is over is remembered: calls that ended it are answered
/// again, and its page's token begins no other.
const MEMORY: Duration = Duration::from_secs(120);

/// Those that are remembered. More begin in no two minutes.
const MAX_REMEMBERED: usize = 8192;

/// How often all of them are looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// The table of them, by what is in their tokens.
pub(super) struct Sessions {
    most: Cell<usize>,
    live: RefCell<HashMap<Ticket, Rc<Session>>>,
    gone: RefCell<HashMap<Ticket, Instant>>,
    beginnings: RefCell<Beginnings<Secret>>,
    begun: Notify,
    has_some: Cell<bool>,
}

/// What became of a wish for a session.
pub(super) enum Begun {
    /// It is there, now or since an earlier call.
    There,
    /// Not now: later perhaps.
    Full,
    /// Never with this token.
    Spent,
}

impl Sessions {
    pub(crate) fn new(most: usize, now: Instant) -> Self {
        Self {
            most: Cell::new(most),
            live: RefCell::default(),
            gone: RefCell::default(),
            beginnings: RefCell::new(Beginnings::new(now)),
            begun: Notify::default(),
            has_some: Cell::new(false),
        }
    }

    /// Those that are there stay.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    pub(crate) fn all(&self) -> Vec<Rc<Session>> {
        self.live.borrow().values().cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.live.borrow().len()
    }

    pub(crate) fn find(&self, ticket: &Ticket) -> Option<Rc<Session>> {
        self.live.borrow().get(ticket).cloned()
    }

    /// Such a session was there, and is over.
    pub(crate) fn is_gone(&self, ticket: &Ticket) -> bool {
        self.gone.borrow().contains_key(ticket)
    }

    pub(crate) fn begin(
        &self,
        context: &Rc<WebContext>,
        ticket: Ticket,
        access: Access,
        peer: Peer,
    ) -> Begun {
        if self.find(&ticket).is_some() {
            return Begun::There;
        }
        if self.is_gone(&ticket) || !ticket.is_fresh(context.token_time()) {
            return Begun::Spent;
        }
        if context.is_closed.get()
            || self.gone.borrow().len() >= MAX_REMEMBERED
            || !self.may_begin(peer, &access, context.reactor.now())
            || !self.make_room(peer)
        {
            return Begun::Full;
        }
        let session = Session::new(context, ticket, peer, access);
        self.live.borrow_mut().insert(ticket, session);
        self.has_some.set(true);
        self.begun.notify();
        Begun::There
    }

    /// A session has ended.
    pub(crate) fn is_over(&self, ticket: &Ticket, now: Instant) {
        if self.live.borrow_mut().remove(ticket).is_some() {
            self.gone.borrow_mut().insert(*ticket, now);
        }
    }

    fn may_begin(&self, peer: Peer, access: &Access, now: Instant) -> bool {
        let origin = Origin::of(peer.client.ip());
        let mut beginnings = self.beginnings.borrow_mut();
        beginnings.take(origin, access.bridge.key.secret, now)
    }

    /// Where all places are taken, the one of the address with most goes that was silent
    /// for longest, if the newcomer's address has fewer with the new one.
    fn make_room(&self, peer: Peer) -> bool {
        let live = self.live.borrow();
        if live.len() < self.most.get() {
            return true;
        }
        let mut counts: HashMap<Origin, usize> = HashMap::new();
        for session in live.values() {
            *counts.entry(session.origin()).or_default() += 1;
        }
        let own = counts.get(&Origin::of(peer.client.ip()));
        let own = own.copied().unwrap_or_default();
        let largest = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((largest, _)) = largest.filter(|(_, count)| *count > own + 1) else {
            return false;
        };
        let of_largest = live.values().filter(|session| session.origin() == largest);
        let silent = of_largest
            .min_by_key(|session| session.heard.get())
            .cloned();
        drop(live);
        if let Some(silent) = silent {
            silent.end(WebEnd::PushedOut);
        }
        self.live.borrow().len() < self.most.get()
    }

    fn forget_old(&self, now: Instant) {
        self.gone
            .borrow_mut()
            .retain(|_, since| now.saturating_duration_since(*since) < MEMORY);
        let has_begun_none = self.beginnings.borrow_mut().forget_old(now);
        let is_empty = self.live.borrow().is_empty() && self.gone.borrow().is_empty();
        if is_empty && has_begun_none {
            self.has_some.set(false);
        }
    }
}

impl WebContext {
    /// Ends sessions that are silent, and streams whose clients take nothing.
    pub(super) async fn look_after_sessions(self: Rc<Self>) {
        loop {
            let sessions = &self.sessions;
            sessions.begun.until(|| sessions.has_some.get()).await;
            self.reactor.sleep(PERIOD).await;
            let now = self.reactor.now();
            for session in sessions.all() {
                let silent = now.saturating_duration_since(session.heard.get());
                if silent >= SILENCE && !session.has_socket() {
                    session.end(WebEnd::Silent);
                } else {
                    session.close_stuck();
                }
            }
            sessions.forget_old(now);
        }
    }
}
