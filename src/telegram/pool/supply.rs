use std::rc::Rc;
use std::time::Duration;

use super::{JOIN_LIMIT, PATIENCE, Pool};
use crate::backend::SessionEnd;
use crate::metrics::MigrationOutcome;
use crate::net::{Backoff, Jitter};
use crate::telegram::middle::establish;
use crate::telegram::session::MiddleSession;

/// The waits between attempts. The last one bounds how long people wait once an outage
/// is over, the first how often Telegram is asked.
const RETRIES: Backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(8));

/// A client that needs a connection brings the next attempt forward, but not to before
/// this, jittered up to twice as long.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// Connections in a row that may die young before the next one has to wait:
/// one may meet Telegram's rotation.
const FREE_DEATHS: u32 = 4;

/// How often it is looked whether sessions wait for too long.
const WATCH_PARKED: Duration = Duration::from_secs(1);

impl Pool {
    /// Opens connections until there are as many as are wanted.
    pub(crate) fn keep_supplied(self: &Rc<Self>) {
        if self.connecting.get() || !self.wants_connection() {
            return;
        }
        self.connecting.set(true);
        let pool = self.clone();
        self.shared.executor.spawn(pool.supply()).detach();
    }

    async fn supply(self: Rc<Self>) {
        smol::future::or(self.open_wanted(), self.watch_parked()).await;
        self.connecting.set(false);
    }

    async fn open_wanted(self: &Rc<Self>) {
        let mut retries = RETRIES;
        while self.wants_connection() {
            if let Some(wait) = wait_after_deaths(self.young_deaths.get()) {
                let wait = Jitter::Double.of(wait);
                self.wait_to_retry(wait, wait).await;
                if !self.wants_connection() {
                    break;
                }
            }
            if self.connect().await {
                retries.reset();
                // Those that found it crowded and those that it kills come
                // first; then see whether one more is wanted.
                smol::future::yield_now().await;
                continue;
            }
            self.failed_rounds.set(self.failed_rounds.get() + 1);
            self.give_up_parked();
            let shortest = Jitter::Double.of(MIN_RETRY);
            let wait = Jitter::Double.of(retries.next_wait());
            self.wait_to_retry(shortest, wait).await;
        }
    }

    /// Gives up those that wait for too long: a round over all addresses may
    /// take minutes.
    async fn watch_parked(&self) {
        loop {
            self.shared.reactor.sleep(WATCH_PARKED).await;
            let now = self.shared.reactor.now();
            let since = self.parked_since.get();
            if since.is_some_and(|since| now >= since + JOIN_LIMIT) {
                self.give_up_parked();
            }
        }
    }

    /// The next attempt is too far away to be waited for.
    pub(super) fn is_late(&self) -> bool {
        let soon = self.shared.reactor.now() + PATIENCE;
        self.retry_at.get().is_some_and(|at| at > soon)
    }

    /// Keeps a session for the next connection.
    pub(super) fn park(&self, session: Rc<MiddleSession>) {
        let mut parked = self.parked.borrow_mut();
        if parked.is_empty() {
            self.parked_since.set(Some(self.shared.reactor.now()));
        }
        parked.push(session);
    }

    async fn wait_to_retry(&self, shortest: Duration, wait: Duration) {
        if wait > PATIENCE {
            self.give_up_parked();
        }
        let now = self.shared.reactor.now();
        self.retry_from.set(Some(now + shortest.min(wait)));
        self.retry_at.set(Some(now + wait));
        self.changed.notify();
        self.retry.begin();
        self.retry.wait(&self.shared.reactor, shortest, wait).await;
        self.retry_at.set(None);
    }

    /// A client is here that has nowhere else to go: the next attempt is not put
    /// off for what the last ones met.
    pub(super) fn want_retry(&self) {
        let (Some(at), Some(from)) = (self.retry_at.get(), self.retry_from.get()) else {
            return;
        };
        if from < at {
            self.retry_at.set(Some(from));
            self.retry.cut_short();
        }
    }

    /// No new connection will be there soon: sessions without one go to any that there
    /// is, or end.
    fn give_up_parked(&self) {
        for session in self.parked.take() {
            self.settle_anywhere(&session);
        }
    }

    pub(super) fn give_up(&self, session: &MiddleSession) {
        self.shared.migrated(MigrationOutcome::NoConnection);
        session.end(SessionEnd::NoConnection);
    }

    /// One round over the DC's addresses; false if none could be used.
    async fn connect(self: &Rc<Self>) -> bool {
        let shared = &self.shared;
        shared.directory.ready(&shared.reactor).await;
        let targets = shared.directory.middle(self.dc);
        for address in targets {
            match establish(&self.shared, address).await {
                Ok(secured) => {
                    self.shared.reached(address);
                    self.add(secured);
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

/// How long to leave Telegram alone after connections that died young.
fn wait_after_deaths(young_deaths: u32) -> Option<Duration> {
    let excess = young_deaths.checked_sub(FREE_DEATHS)?;
    Some(RETRIES.after(excess))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_begins_after_the_free_deaths_and_grows() {
        assert_eq!(wait_after_deaths(0), None);
        assert_eq!(wait_after_deaths(FREE_DEATHS - 1), None);
        let millis = |deaths| wait_after_deaths(deaths).map(|wait| wait.as_millis());
        assert_eq!(millis(FREE_DEATHS), Some(300));
        assert_eq!(millis(FREE_DEATHS + 2), Some(1200));
        assert_eq!(millis(u32::MAX), Some(8000));
    }
}
