//! Who blocks a connection, who waits behind, and who may leave. The pool
//! decides what becomes of it (`super::super::pool::lanes`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::MiddleConnection;
use crate::backend::SessionEnd;
use crate::telegram::exchange::LAST_MOMENT;
use crate::telegram::session::MiddleSession;
use crate::telegram::slowness::{Buffers, Burden};

/// A client alone on a connection is not read ahead for: Telegram waits
/// instead, so that a large answer needs little memory.
const ALLOWANCE_ALONE: usize = 128 * 1024;

/// In company a slow client's answers are kept up to this size, so that the
/// others behind them get theirs.
const ALLOWANCE_SHARED: usize = 1 << 20;

/// How a connection fares with slow clients.
#[derive(Default)]
pub(super) struct Isolation {
    /// The session that blocks it.
    blocker: RefCell<Option<Rc<MiddleSession>>>,
    noted: Cell<Option<Instant>>,
    burden: Cell<Burden>,
    /// When Telegram was last heard before the block. Its silence to a session since
    /// then proves nothing: the answer may be behind what the blocker does not take.
    heard_out: Cell<Option<Instant>>,
    /// When it was last free again.
    freed: Cell<Option<Instant>>,
    /// The blocker takes no more because buffers are short.
    starved: Cell<bool>,
    /// Others wait for what is behind the blocker's.
    others_wait: Cell<bool>,
    /// Since when it is left to slow clients.
    isolated: Cell<Option<Instant>>,
    /// Bytes that it brought since then.
    brought: Cell<u64>,
}

impl MiddleConnection {
    /// Says who blocks it from now on. Whether that is nobody any more.
    pub(super) fn note_blocker(&self, blocker: Option<&Rc<MiddleSession>>) -> bool {
        let isolation = &self.isolation;
        let was_blocked = isolation.blocker.borrow().is_some();
        if !was_blocked && blocker.is_none() {
            return false;
        }
        let now = self.shared.reactor.now();
        let metrics = &self.shared.metrics;
        let noted = isolation.noted.replace(Some(now));
        match (was_blocked, noted) {
            (true, Some(noted)) => metrics.backpressure.add(now - noted),
            _ => metrics.backpressure_events.inc(),
        }
        let is_blocked = blocker.is_some();
        match (was_blocked, is_blocked) {
            (false, true) => isolation.heard_out.set(Some(self.heard_out())),
            (true, false) => isolation.freed.set(Some(now)),
            _ => {}
        }
        let mut burden = isolation.burden.get();
        burden.note(now, is_blocked);
        isolation.burden.set(burden);
        if !is_blocked {
            isolation.others_wait.set(false);
            isolation.starved.set(false);
        }
        isolation.blocker.replace(blocker.cloned());
        was_blocked && !is_blocked
    }

    pub(crate) fn blocker(&self) -> Option<Rc<MiddleSession>> {
        self.isolation.blocker.borrow().clone()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.isolation.blocker.borrow().is_some()
    }

    /// When Telegram was last heard with all that it had sent read. While a client
    /// blocks the connection, something may be unread behind it; a
    /// [moment](LAST_MOMENT) after the block all is taken to be read.
    pub(crate) fn heard_out(&self) -> Instant {
        let heard = self.heard();
        let freed = self.isolation.freed.get();
        let is_behind = self.is_blocked() || freed.is_some_and(|at| heard < at + LAST_MOMENT);
        let before = self.isolation.heard_out.get().filter(|_| is_behind);
        before.unwrap_or(heard)
    }

    /// See [`Burden`].
    pub(crate) fn burden(&self, now: Instant) -> Duration {
        self.isolation.burden.get().weight(now)
    }

    /// Whether sessions other than `blocker` wait for answers, or have packets that are
    /// kept back.
    pub(crate) fn others_wait(&self, blocker: &Rc<MiddleSession>) -> bool {
        let outbound = self.outbound.borrow();
        let written = outbound.written();
        let keeps_any = self.keeps_back() && outbound.has_packets();
        drop(outbound);
        let sessions = self.sessions.borrow();
        let mut others = sessions.iter().map(|(_, (_, session))| session);
        let others_wait =
            others.any(|one| !Rc::ptr_eq(one, blocker) && self.waits(one, written).is_some());
        self.isolation.others_wait.set(others_wait);
        others_wait || keeps_any
    }

    /// See [`MiddleSession::loss`].
    pub(super) fn waits(&self, session: &MiddleSession, written: u64) -> Option<SessionEnd> {
        session.loss(self.heard_out(), written)
    }

    /// Whether packets are not sent while it is blocked. Their answers would wait
    /// behind the blocker; kept back, the packets go along when their sessions leave,
    /// which is soon.
    pub(super) fn keeps_back(&self) -> bool {
        !self.is_isolated() && !self.is_draining() && !self.is_starved() && self.load() > 1
    }

    /// Then nothing is kept back: it might hold the very buffers that the blocker
    /// lacks.
    pub(crate) fn is_starved(&self) -> bool {
        self.isolation.starved.get()
    }

    pub(crate) fn note_starved(&self, is_starved: bool) {
        if self.isolation.starved.replace(is_starved) != is_starved {
            self.wake();
        }
    }

    /// Leaves it to the slow clients on it: no new sessions come, and those of
    /// others leave as soon as they have nothing under way.
    pub(crate) fn isolate(&self, now: Instant) {
        self.isolation.isolated.set(Some(now));
        self.isolation.brought.set(0);
        self.wake();
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.isolation.isolated.get().is_some()
    }

    pub(crate) fn isolated_since(&self) -> Option<Instant> {
        self.isolation.isolated.get()
    }

    /// Bytes a second that it has brought since it is isolated.
    pub(crate) fn pace(&self, now: Instant) -> u64 {
        let since = self.isolated_since().unwrap_or(now);
        let millis = (now - since).as_millis().max(1) as u64;
        self.isolation.brought.get().saturating_mul(1000) / millis
    }

    pub(super) fn note_brought(&self, bytes: usize) {
        let brought = &self.isolation.brought;
        brought.set(brought.get() + bytes as u64);
    }

    /// It is like any other again.
    pub(crate) fn restore(&self) {
        self.isolation.isolated.set(None);
        self.isolation.burden.set(Burden::default());
        if !self.is_draining() {
            self.release(|_| true);
        }
    }

    /// Gives it what the sessions that `chosen` picks kept back.
    pub(crate) fn release(&self, chosen: impl Fn(&MiddleSession) -> bool) {
        let sessions = self.sessions.borrow();
        let chosen = sessions.iter().filter(|(_, (_, one))| chosen(one));
        let chosen: Vec<_> = chosen.map(|(_, (_, one))| one.clone()).collect();
        drop(sessions);
        for session in chosen {
            session.release();
        }
    }

    /// The sessions that `chosen` picks.
    pub(crate) fn sessions_where(
        &self,
        chosen: impl Fn(&MiddleSession) -> bool,
    ) -> Vec<Rc<MiddleSession>> {
        let sessions = self.sessions.borrow();
        let all = sessions.iter().map(|(_, (_, session))| session);
        all.filter(|session| chosen(session)).cloned().collect()
    }

    /// How much one client's sink may hold.
    pub(super) fn allowance(&self, session: &MiddleSession) -> usize {
        let pool = &self.shared.buffers;
        let most = match self.load() > 1 {
            true => ALLOWANCE_SHARED.min((pool.total_bytes() / 8).max(ALLOWANCE_ALONE)),
            false => ALLOWANCE_ALONE,
        };
        let buffers = Buffers {
            total: pool.total_bytes(),
            free: pool.free_bytes(),
            own: session.sink().undelivered(),
        };
        buffers.allowance(most, self.isolation.others_wait.get())
    }
}
