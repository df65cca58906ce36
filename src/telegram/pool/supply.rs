//! Connections: opening them, and what is done when one ends.

use std::rc::Rc;
use std::time::Duration;

use super::super::middle::{Connection, Driver, Established, establish};
use super::{PATIENCE, Pool};
use crate::metrics::ConnectionEnd;

const FIRST_RETRY: Duration = Duration::from_millis(300);
/// People wait for the end of an outage: not longer than this, nor is Telegram
/// asked more often.
const LAST_RETRY: Duration = Duration::from_secs(8);

/// A connection that Telegram ends sooner than this, having said nothing since
/// the handshake, did not work.
const YOUNG: Duration = Duration::from_secs(1);

/// Connections in a row that may die young before the next one has to wait:
/// one may meet Telegram's rotation.
const FREE_DEATHS: u32 = 4;

impl Pool {
    /// Opens connections until there are as many as are wanted.
    pub fn keep_supplied(self: &Rc<Self>) {
        if self.connecting.get() || !self.wants_connection() {
            return;
        }
        self.connecting.set(true);
        let pool = self.clone();
        self.shared.executor.spawn(pool.supply()).detach();
    }

    fn wants_connection(&self) -> bool {
        if self.closed.get() {
            return false;
        }
        if !self.parked.borrow().is_empty() {
            return true;
        }
        let connections = self.connections.borrow();
        let settings = self.shared.settings.get();
        match connections.iter().map(|one| one.load()).min() {
            None => settings.dc_connections > 0 || self.joining.get() > 0,
            Some(least) => {
                connections.len() < settings.dc_connections
                    || least >= settings.clients_per_connection
            }
        }
    }

    async fn supply(self: Rc<Self>) {
        let mut retry = FIRST_RETRY;
        while self.wants_connection() {
            if let Some(wait) = self.penance() {
                self.wait_to_retry(wait).await;
                if !self.wants_connection() {
                    break;
                }
            }
            if self.connect().await {
                retry = FIRST_RETRY;
                // Those that found it crowded and those that it kills come
                // first; then see whether one more is wanted.
                smol::future::yield_now().await;
                continue;
            }
            self.failed_rounds.set(self.failed_rounds.get() + 1);
            self.give_up_parked();
            self.wait_to_retry(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
        self.connecting.set(false);
    }

    /// How long to leave Telegram alone after connections that died young.
    fn penance(&self) -> Option<Duration> {
        let excess = self.young_deaths.get().checked_sub(FREE_DEATHS + 1)?;
        let wait = FIRST_RETRY * 2u32.saturating_pow(excess.min(8));
        Some(wait.min(LAST_RETRY))
    }

    async fn wait_to_retry(&self, wait: Duration) {
        let wait = self.shared.jittered(wait);
        if wait > PATIENCE {
            self.give_up_parked();
        }
        self.retry_at.set(Some(self.shared.reactor.now() + wait));
        self.changed.notify();
        self.shared.reactor.sleep(wait).await;
        self.retry_at.set(None);
    }

    /// One round over the DC's addresses; false if none could be used.
    async fn connect(self: &Rc<Self>) -> bool {
        let shared = &self.shared;
        shared.directory.ready(&shared.reactor).await;
        let targets = shared.directory.middle(self.dc);
        for address in targets {
            match establish(&self.shared, address).await {
                Ok(established) => {
                    self.shared.directory.report_success(address);
                    self.add(established);
                    return true;
                }
                Err(error) => {
                    self.shared.directory.report_failure(address);
                    self.shared.middle_failed(self.dc, address, &error);
                }
            }
        }
        false
    }

    fn add(self: &Rc<Self>, established: Established) {
        let (connection, driver) = Driver::new(established);
        debug!("DC {}: connected to {}", self.dc, connection.address());
        self.shared.metrics.dc_opened(self.dc);
        self.connections.borrow_mut().push(connection.clone());
        let limit = self.shared.settings.get().clients_per_connection;
        let mut parked = self.parked.take();
        let rest = parked.split_off(parked.len().min(limit));
        for session in parked {
            self.settle(&session, &connection);
        }
        // The next connection is for them.
        self.parked.borrow_mut().extend(rest);
        self.changed.notify();
        let task = self.clone().drive(connection, driver);
        self.shared.executor.spawn(task).detach();
    }

    async fn drive(self: Rc<Self>, connection: Rc<Connection>, mut driver: Driver) {
        let end = driver.run(|| self.tick(&connection)).await;
        let age = self.shared.reactor.now() - connection.opened();
        let (dc, address) = (self.dc, connection.address());
        debug!("DC {dc}: connection to {address} ended after {age:.0?}: {end}");
        self.shared.metrics.dc_ended(self.dc, end);
        self.note_death(&connection, end, age);
        // The choreography of doc/migration-flow.md: out of the pool first, so
        // that nobody is put on it any more; then its sessions.
        self.remove(&connection);
        let survivors = connection.take_survivors();
        drop(driver);
        for session in survivors {
            self.rehouse(session);
        }
        self.keep_supplied();
    }

    fn note_death(&self, connection: &Connection, end: ConnectionEnd, age: Duration) {
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

    pub(super) fn remove(&self, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|one| !Rc::ptr_eq(one, connection));
    }
}
