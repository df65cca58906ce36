use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Directory;
use super::fetch::{FetchError, fetch};
use super::list_file;
use super::lists::{List, Lists, Unusable};
use crate::config::{Source, TelegramConfig, Via};
use crate::http::time_at;
use crate::metrics::RefreshOutcome;
use crate::net::{Backoff, Jitter, Reactor, unblock};

/// Failed connections in a row after which the lists are fetched anew.
pub(super) const FAILURES: usize = 3;

/// Never more often than this, whatever fails.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);

/// The same while a list is missing: there may just be no network.
const SHORTEST_WHILE_INCOMPLETE: Duration = Duration::from_secs(10);

/// How long the first connection waits for the first refresh.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// After a fetch that failed; up to the refresh interval.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Between lines about one list that cannot be had.
pub(super) const LOG_PERIOD: Duration = Duration::from_secs(600);

/// Which of the lists that are files cannot be used, a line each; none where nobody
/// goes by them. Blocks.
pub(crate) fn bad_files(config: &TelegramConfig) -> Vec<String> {
    if !config.uses_middle {
        return Vec::new();
    }
    let mut lists = Lists::built_in();
    let bad = List::ALL.into_iter().filter_map(|list| {
        let source = list.source(config)?;
        if !matches!(source, Source::File(_)) {
            return None;
        }
        let content = match fetch(&source, None) {
            Ok(fetched) => fetched.body,
            Err(error) => return Some(not_had(&source, list, &error)),
        };
        let taken = lists.take(list, &content);
        taken.err().map(|error| not_taken(&source, list, &error))
    });
    bad.collect()
}

fn not_had(source: &Source, list: List, error: &FetchError) -> String {
    let name = list.name();
    format!("{source} {error}; going on with the last good copy of {name}")
}

fn not_taken(source: &Source, list: List, error: &Unusable) -> String {
    let name = list.name();
    format!("{source} is not Telegram's {name} ({error}); going on with the last good copy")
}

impl Directory {
    /// Fetches the lists now, every --refresh seconds, at once after repeated
    /// connection failures, and, where some are missing, when Telegram is
    /// reached again. Nothing that fails here is fatal.
    pub(crate) async fn run(self: Rc<Self>, reactor: &Rc<Reactor>) {
        smol::future::or(self.follow_config(), self.refresh_for_ever(reactor)).await;
    }

    /// Refreshes whenever the config has another source, or another way there.
    pub(super) async fn follow_config(&self) {
        let mut config = self.config.get();
        loop {
            let newer = self.config.after(&config).await;
            if List::sources(&newer) != List::sources(&config) || newer.via != config.via {
                self.pause.cut_short();
            }
            config = newer;
        }
    }

    async fn refresh_for_ever(&self, reactor: &Rc<Reactor>) {
        let interval = self.config.with(|config| config.refresh);
        let mut retries = Backoff::new(FIRST_RETRY, interval);
        loop {
            self.pause.begin();
            let complete = self.refresh().await;
            self.is_incomplete.set(!complete);
            self.settled.set(true);
            self.settling.notify();
            self.ask_time().await;
            let interval = self.config.with(|config| config.refresh);
            let (floor, wait) = if complete {
                retries.reset();
                (SHORTEST_INTERVAL, interval)
            } else {
                retries.bound(interval);
                (SHORTEST_WHILE_INCOMPLETE, retries.next_wait())
            };
            // Proxies that started together must not ask together.
            let wait = Jitter::Tenth.of(wait);
            self.pause.wait(reactor, floor.min(interval), wait).await;
        }
    }

    /// Whether every list could be had.
    async fn refresh(&self) -> bool {
        let [secret, config, config_v6] = self.config.with(List::sources);
        let mut complete = self.refresh_one(List::Config, config).await;
        // Any bytes make a secret: it is believed only of a server whose list
        // makes sense.
        if complete || matches!(secret, Some(Source::File(_))) {
            complete &= self.refresh_one(List::Secret, secret).await;
        }
        complete & self.refresh_one(List::ConfigV6, config_v6).await
    }

    /// Builds that fetch nothing do not learn the time by the way.
    async fn ask_time(&self) {
        const HOST: &str = "core.telegram.org";
        let is_alone = self.config.with(List::sources).iter().all(Option::is_none);
        let via = self.via();
        let ask = move || time_at(via.as_deref(), HOST, 80);
        if is_alone && let Ok(date) = unblock(ask).await {
            self.compare_clocks(date, HOST);
        }
    }

    fn via(&self) -> Option<Arc<Via>> {
        self.config.with(|config| config.via.clone())
    }

    fn compare_clocks(&self, theirs: u64, place: &str) {
        let ours = self.clock.unix();
        self.skew.compare(&self.metrics, ours, theirs, place);
    }

    async fn refresh_one(&self, list: List, source: Option<Source>) -> bool {
        let Some(source) = source else { return true };
        let name = list.name();
        let place = source.clone();
        let via = self.via();
        let fetched = unblock(move || fetch(&source, via.as_deref())).await;
        let content = match fetched {
            Ok(fetched) => {
                if let Some(date) = fetched.date {
                    self.compare_clocks(date, &place.to_string());
                }
                fetched.body
            }
            Err(error) => {
                self.metrics.refreshes.inc(RefreshOutcome::FetchFailed);
                self.complain_of(list, format_args!("{}", not_had(&place, list, &error)));
                return false;
            }
        };
        let taken = self.lists.borrow_mut().take(list, &content);
        match taken {
            Ok(true) => {
                info!("{name}: new from {place}");
                self.metrics.refreshes.inc(RefreshOutcome::Fetched);
                self.keep(list, &place, &content).await;
                true
            }
            Ok(false) => {
                self.metrics.refreshes.inc(RefreshOutcome::Unchanged);
                true
            }
            Err(error) => {
                self.metrics.refreshes.inc(RefreshOutcome::Unusable);
                self.complain_of(list, format_args!("{}", not_taken(&place, list, &error)));
                false
            }
        }
    }

    async fn keep(&self, list: List, source: &Source, content: &[u8]) {
        let data_dir = self.data_dir.clone();
        let file = list_file::to_file(source, content);
        let kept = unblock(move || data_dir.write(list.name(), &file)).await;
        if let Err(error) = kept {
            self.metrics.refreshes.inc(RefreshOutcome::CacheFailed);
            let name = list.name();
            self.complain(format_args!(
                "cannot keep a copy of {name} in --data-dir: {error}"
            ));
        }
    }

    /// What went wrong with a list, once in a while.
    fn complain_of(&self, list: List, what: fmt::Arguments<'_>) {
        let passed = self.complaints.pass(list as usize, self.clock.now());
        match self.config.with(|config| config.uses_middle) {
            true => say!(passed, Warn, "{what}"),
            false => debug!("{what}"),
        }
    }

    /// Direct clients do without the lists.
    fn complain(&self, what: fmt::Arguments<'_>) {
        match self.config.with(|config| config.uses_middle) {
            true => warn!("{what}"),
            false => debug!("{what}"),
        }
    }
}
