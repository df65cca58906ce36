//! The connections to one DC's middle proxies: who is on which of them
//! ([`Pool`]), which lead to Telegram (`paths`), which are left to slow clients
//! (`lanes`), and how new ones are opened (`supply`).
//!
//! `session` imports this room and this room `session`, by nature: a session asks its
//! pool for another connection, and the pool moves sessions.
//!
//! | File | What |
//! |---|---|
//! | `lanes.rs` | connections that are left to slow clients |
//! | `paths.rs` | which connections lead to Telegram |
//! | `shown.rs` | what the operator sees of them |
//! | `supply.rs` | opens new ones, and how soon again after a failure |

mod lanes;
mod paths;
#[cfg(feature = "ctl")]
mod shown;
mod supply;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::Shared;
use super::middle::{MiddleConnection, MiddleDriver};
use super::session::MiddleSession;
use super::slowness::{Lanes, Tolerance};
use crate::backend::{OpenError, SessionEnd};
use crate::log::Throttle;
use crate::metrics::{ConnectionEnd, MigrationOutcome};
use crate::net::{BufferPool, Counting, Jitter, Notify, Pause};
use crate::wire::dc::DcId;
use lanes::SlowLines;
#[cfg(feature = "ctl")]
pub(crate) use shown::ShownConnection;

/// Longest wait of a session for a connection, of new ones and of others.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// Nobody waits for a connection if the next attempt to open one is further away than
/// this.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that Telegram ends sooner than this, having said nothing since
/// the handshake, did not work.
const YOUNG: Duration = Duration::from_secs(1);

/// Longest wait of a new session for one more connection, while it could have
/// a place on a crowded one.
const CROWDED_PATIENCE: Duration = Duration::from_secs(1);

/// Connections this close in age would be rotated by Telegram together.
const STAGGER: Duration = Duration::from_secs(5);

/// The age at which one of two such connections is renewed, jittered up to
/// twice that; Telegram's own rotation starts at 30 s.
const RENEW_AGE: Duration = Duration::from_secs(10);

/// How long a pool has more connections than its sessions need before it
/// gives one up.
const SHRINK_AFTER: Duration = Duration::from_secs(60);

/// Between lines about connections that fell silent.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The connections to one DC's middle proxies and the sessions on them.
pub(super) struct Pool {
    shared: Rc<Shared>,
    dc: DcId,
    /// Open connections that take sessions; a dying or draining one is not
    /// among them.
    connections: RefCell<Vec<Rc<MiddleConnection>>>,
    /// Sessions between connections.
    parked: RefCell<Vec<Rc<MiddleSession>>>,
    /// Since when there are any.
    parked_since: Cell<Option<Instant>>,
    /// Sessions that wait for a connection.
    joining: Cell<usize>,
    connecting: Cell<bool>,
    /// Rounds over all addresses that found none, since the start.
    failed_rounds: Cell<u64>,
    /// Connections that died young in a row.
    young_deaths: Cell<u32>,
    retry_at: Cell<Option<Instant>>,
    retry: Pause,
    /// The earliest time for it, whoever wants it.
    retry_from: Cell<Option<Instant>>,
    changed: Notify,
    roomy_since: Cell<Option<Instant>>,
    /// It is being left because Telegram has moved.
    leaving: RefCell<Weak<MiddleConnection>>,
    silences: Throttle,
    slow_lines: SlowLines,
    tolerance: Cell<Tolerance>,
    lanes: Cell<Lanes>,
    closed: Cell<bool>,
}

impl Pool {
    pub(crate) fn new(shared: &Rc<Shared>, dc: DcId) -> Rc<Self> {
        Rc::new(Self {
            shared: shared.clone(),
            dc,
            connections: RefCell::default(),
            parked: RefCell::default(),
            parked_since: Cell::new(None),
            joining: Cell::new(0),
            connecting: Cell::new(false),
            failed_rounds: Cell::new(0),
            young_deaths: Cell::new(0),
            retry_at: Cell::new(None),
            retry: Pause::default(),
            retry_from: Cell::new(None),
            changed: Notify::default(),
            roomy_since: Cell::new(None),
            leaving: RefCell::default(),
            silences: Throttle::new(LOG_PERIOD),
            slow_lines: SlowLines::default(),
            tolerance: Cell::default(),
            lanes: Cell::default(),
            closed: Cell::new(false),
        })
    }

    pub(crate) fn buffers(&self) -> &Rc<BufferPool> {
        &self.shared.buffers
    }

    /// Puts a new session on the least loaded connection, waiting for one to
    /// open if there is none. A client that has another route waits for no
    /// attempt that is far away; for one that has not the next comes earlier.
    pub(crate) async fn join(
        self: &Rc<Self>,
        session: &Rc<MiddleSession>,
        has_other_route: bool,
    ) -> Result<(), OpenError> {
        let reactor = &self.shared.reactor;
        if !has_other_route {
            self.want_retry();
        }
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

    pub(crate) fn dc(&self) -> DcId {
        self.dc
    }

    /// Refuses new sessions and ends all there are.
    pub(crate) fn close(&self) {
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
        choose: fn(&Self) -> Option<Rc<MiddleConnection>>,
    ) -> Result<Rc<MiddleConnection>, OpenError> {
        let rounds = self.failed_rounds.get();
        let _counted = Counting::one(&self.joining);
        loop {
            if self.closed.get() {
                return Err(OpenError::Shutdown);
            }
            if let Some(connection) = choose(self) {
                return Ok(connection);
            }
            if self.is_late() || self.failed_rounds.get() != rounds {
                return self.any().ok_or(OpenError::MiddleUnavailable);
            }
            self.keep_supplied();
            self.changed.changed().await;
        }
    }

    fn add(self: &Rc<Self>, secured: super::middle::Secured) {
        let (connection, driver) = MiddleDriver::new(secured);
        debug!("DC {}: connected to {}", self.dc, connection.address());
        self.shared.metrics.dc_opened(self.dc);
        self.connections.borrow_mut().push(connection.clone());
        let limit = self.shared.pools().clients_per_connection;
        let now = self.shared.reactor.now();
        let parked = self.parked.take().into_iter();
        let (slow, mut parked): (Vec<_>, Vec<_>) = parked.partition(|one| one.is_slow(now));
        let mut rest = parked.split_off(parked.len().min(limit));
        if parked.is_empty() && !slow.is_empty() {
            self.isolate(&connection, now);
            parked = slow;
        } else {
            rest.extend(slow);
        }
        for session in parked {
            self.settle(&session, &connection);
        }
        // The next connection is for them.
        self.parked.borrow_mut().extend(rest);
        self.changed.notify();
        let task = self.clone().drive(connection, driver);
        self.shared.executor.spawn(task).detach();
    }

    async fn drive(self: Rc<Self>, connection: Rc<MiddleConnection>, mut driver: MiddleDriver) {
        let end = driver.run(|| self.tick(&connection)).await;
        let age = self.shared.reactor.now() - connection.opened();
        let (dc, address) = (self.dc, connection.address());
        debug!(
            "DC {dc}: connection to {address} ended after {}s: {end}",
            age.as_secs()
        );
        self.shared.metrics.dc_ended(self.dc, end);
        self.note_death(&connection, end, age);
        // The choreography of doc/migration-flow.md: out of the pool first, so
        // that nobody is put on it any more; then its sessions.
        self.remove(&connection);
        let sessions = connection.load();
        let survivors = connection.take_survivors(end);
        if end == ConnectionEnd::PingTimeout {
            self.tell_silence(&connection, survivors.len(), sessions);
        }
        drop(driver);
        for session in survivors {
            self.rehouse(session);
        }
        self.keep_supplied();
    }

    fn note_death(&self, connection: &MiddleConnection, end: ConnectionEnd, age: Duration) {
        let by_telegram = matches!(
            end,
            ConnectionEnd::ClosedByTelegram | ConnectionEnd::Broken | ConnectionEnd::Protocol
        );
        if age >= YOUNG || connection.is_proven() {
            self.young_deaths.set(0);
        } else if by_telegram {
            self.young_deaths.set(self.young_deaths.get() + 1);
            let directory = &self.shared.directory;
            directory.report_failure(connection.address());
        }
    }

    fn remove(&self, connection: &Rc<MiddleConnection>) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|one| !Rc::ptr_eq(one, connection));
    }

    /// Finds a place for a session that lost its connection: at once on an
    /// open one, else as soon as the next one opens.
    fn rehouse(self: &Rc<Self>, session: Rc<MiddleSession>) {
        if session.is_ended() {
            return;
        }
        match self.next_connection(&session) {
            Some(connection) => self.settle(&session, &connection),
            None if self.closed.get() => session.end(SessionEnd::Shutdown),
            None if self.is_late() => self.settle_anywhere(&session),
            None => self.park(session),
        }
    }

    fn settle(&self, session: &Rc<MiddleSession>, connection: &Rc<MiddleConnection>) {
        if session.is_ended() {
            return;
        }
        let packets = session.move_to(connection);
        self.shared.migrated(match packets {
            0 => MigrationOutcome::MovedIdle,
            _ => MigrationOutcome::MovedQueued,
        });
    }

    /// Called by each connection's task now and then.
    fn tick(self: &Rc<Self>, connection: &Rc<MiddleConnection>) {
        self.look_after(connection);
        if connection.is_draining() {
            for session in connection.take_quiet_sessions(|_| true) {
                self.rehouse(session);
            }
            self.keep_supplied();
        } else if connection.is_isolated() {
            // Who is slow there would not be done in time.
        } else if self.should_renew(connection) {
            debug!("DC {}: renewing a connection", self.dc);
            self.retire(connection);
        } else if self.should_leave(connection) {
            self.leave(connection);
        } else if self.should_shrink() {
            debug!("DC {}: giving up a connection", self.dc);
            self.retire(connection);
        } else {
            self.look_at_paths();
        }
    }

    /// Takes a connection out of service; its sessions leave one by one.
    fn retire(self: &Rc<Self>, connection: &Rc<MiddleConnection>) {
        self.remove(connection);
        connection.drain();
        self.keep_supplied();
    }

    /// Of connections that opened together, all but the first are renewed
    /// early, so that Telegram does not close them all at once.
    fn should_renew(&self, connection: &Rc<MiddleConnection>) -> bool {
        let age = self.shared.reactor.now() - connection.opened();
        if age < Jitter::Double.of(RENEW_AGE) {
            return false;
        }
        let connections = self.connections.borrow();
        connections
            .iter()
            .take_while(|one| !Rc::ptr_eq(one, connection))
            .any(|older| connection.opened() - older.opened() < STAGGER)
    }

    fn should_shrink(&self) -> bool {
        let connections = self.connections.borrow();
        let pools = self.shared.pools();
        let open = connections.iter().filter(|one| !one.is_isolated());
        let count = open.clone().count();
        let sessions: usize = open.map(|one| one.load()).sum();
        let enough = count.saturating_sub(1) * pools.clients_per_connection / 2;
        // The last connection goes when nobody has used it for as long.
        let spare = sessions == 0 || (count > 1 && sessions <= enough);
        if count <= pools.dc_connections || !spare || self.joining.get() > 0 {
            self.roomy_since.set(None);
            return false;
        }
        let now = self.shared.reactor.now();
        let since = self.roomy_since.get().unwrap_or(now);
        self.roomy_since.set(Some(since));
        if now - since < SHRINK_AFTER {
            return false;
        }
        self.roomy_since.set(None);
        true
    }
}
