mod renewal;
mod supply;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shared;
use super::middle::Connection;
use super::session::MiddleSession;
use crate::backend::{OpenError, SessionEnd};
use crate::metrics::{ConnectionEnd, MigrationOutcome};
use crate::net::{BufferPool, Notify};
use crate::wire::dc::DcId;

/// Longest wait of a new session for a connection.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// A connection that more than this time must pass until the next attempt for
/// is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait of a new session for one more connection, while it could have
/// a place on a crowded one.
const CROWDED_PATIENCE: Duration = Duration::from_secs(1);

/// The connections to one DC's middle proxies and the sessions on them.
pub(super) struct Pool {
    shared: Rc<Shared>,
    dc: DcId,
    /// Open connections that take sessions; a dying or draining one is not
    /// among them.
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Sessions between connections.
    parked: RefCell<Vec<Rc<MiddleSession>>>,
    joining: Cell<usize>,
    connecting: Cell<bool>,
    /// Rounds over all addresses that found none, since the start.
    failed_rounds: Cell<u64>,
    /// Connections that died young in a row.
    young_deaths: Cell<u32>,
    retry_at: Cell<Option<Instant>>,
    changed: Notify,
    roomy_since: Cell<Option<Instant>>,
    closed: Cell<bool>,
}

impl Pool {
    pub fn new(shared: &Rc<Shared>, dc: DcId) -> Rc<Self> {
        Rc::new(Self {
            shared: shared.clone(),
            dc,
            connections: RefCell::default(),
            parked: RefCell::default(),
            joining: Cell::new(0),
            connecting: Cell::new(false),
            failed_rounds: Cell::new(0),
            young_deaths: Cell::new(0),
            retry_at: Cell::new(None),
            changed: Notify::default(),
            roomy_since: Cell::new(None),
            closed: Cell::new(false),
        })
    }

    pub fn buffers(&self) -> &Rc<BufferPool> {
        &self.shared.buffers
    }

    /// Puts a new session on the least loaded connection, waiting for one to
    /// open if there is none.
    pub async fn join(self: &Rc<Self>, session: &Rc<MiddleSession>) -> Result<(), OpenError> {
        let reactor = &self.shared.reactor;
        let waiting = self.wait_for_connection(Self::roomy);
        let roomy = reactor.timeout(CROWDED_PATIENCE, waiting).await;
        let connection = match roomy {
            Some(connection) => connection?,
            None => {
                let waiting = self.wait_for_connection(Self::least_loaded);
                let any = reactor.timeout(JOIN_LIMIT, waiting).await;
                any.unwrap_or(Err(OpenError::MiddleUnavailable))?
            }
        };
        session.move_to(&connection);
        self.keep_supplied();
        Ok(())
    }

    /// Refuses new sessions and ends all there are.
    pub fn close(&self) {
        self.closed.set(true);
        for connection in self.connections.take() {
            connection.kill(ConnectionEnd::Shutdown);
        }
        for session in self.parked.take() {
            session.end(SessionEnd::Shutdown);
        }
        self.changed.notify();
    }

    async fn wait_for_connection(
        self: &Rc<Self>,
        choose: fn(&Self) -> Option<Rc<Connection>>,
    ) -> Result<Rc<Connection>, OpenError> {
        let rounds = self.failed_rounds.get();
        let _counted = Joining::new(&self.joining);
        loop {
            if self.closed.get() {
                return Err(OpenError::Shutdown);
            }
            if let Some(connection) = choose(self) {
                return Ok(connection);
            }
            let now = self.shared.reactor.now();
            let late = self.retry_at.get().is_some_and(|at| at > now + PATIENCE);
            if late || self.failed_rounds.get() != rounds {
                return self.least_loaded().ok_or(OpenError::MiddleUnavailable);
            }
            self.keep_supplied();
            self.changed.changed().await;
        }
    }

    fn least_loaded(&self) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        connections.iter().min_by_key(|one| one.load()).cloned()
    }

    /// The least loaded connection, if it may take one more session.
    fn roomy(&self) -> Option<Rc<Connection>> {
        let limit = self.shared.settings.get().clients_per_connection;
        self.least_loaded().filter(|one| one.load() < limit)
    }

    /// No new connection will be there soon: sessions without one go where
    /// there is any place at all, or end.
    fn give_up_parked(&self) {
        for session in self.parked.take() {
            match self.least_loaded() {
                Some(connection) => self.settle(&session, &connection),
                None => {
                    self.shared.migrated(MigrationOutcome::NoConnection);
                    session.end(SessionEnd::NoConnection);
                }
            }
        }
    }

    /// Finds a place for a session that lost its connection: at once on an
    /// open one, else as soon as the next one opens.
    fn rehouse(self: &Rc<Self>, session: Rc<MiddleSession>) {
        if session.is_ended() {
            return;
        }
        match self.least_loaded() {
            Some(connection) => self.settle(&session, &connection),
            None if self.closed.get() => session.end(SessionEnd::Shutdown),
            None => self.parked.borrow_mut().push(session),
        }
    }

    fn settle(&self, session: &Rc<MiddleSession>, connection: &Rc<Connection>) {
        if session.is_ended() {
            return;
        }
        let packets = session.move_to(connection);
        self.shared.migrated(match packets {
            0 => MigrationOutcome::MovedIdle,
            _ => MigrationOutcome::MovedQueued,
        });
    }
}

/// Counts a session that waits for a connection.
struct Joining<'a>(&'a Cell<usize>);

impl<'a> Joining<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
