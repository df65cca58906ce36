use std::rc::Rc;
use std::time::Duration;

use super::{PATIENCE, Pool};
use crate::backend::SessionEnd;
use crate::metrics::MigrationOutcome;
use crate::telegram::middle::establish;

const FIRST_RETRY: Duration = Duration::from_millis(300);
/// People wait for the end of an outage: not longer than this, nor is Telegram
/// asked more often.
const LAST_RETRY: Duration = Duration::from_secs(8);

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
}
