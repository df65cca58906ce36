//! Users that come, change and go while the proxy runs: one change after the other, and
//! between two reloads, which read their file too.

#[cfg(feature = "ctl")]
mod desk;

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::part::{Change, Part, Report};
use super::reload::tell_of_config;
use crate::config::{Config, ConfigSource, Differences, Users};
use crate::net::unblock;
#[cfg(feature = "ctl")]
pub(super) use desk::{Desk, Wish};

/// The wall's clock may be set while somebody waits by the other one.
const PERIOD: Duration = Duration::from_secs(60);

/// What there is to do about users.
pub(super) enum Turn {
    #[cfg(feature = "ctl")]
    Wish(Wish),
    /// An old secret is good no more.
    OldEnds,
}

/// Completes when an old secret of the config that is in force is good no more.
pub(super) async fn old_ends(core: &Core) -> Turn {
    let next_end = core.config().users.next_end;
    loop {
        let now = core.reactor.clock().unix();
        let left = next_end.map(|end| end.checked_sub(now).map(Duration::from_secs));
        // One that was over from the beginning could not be taken out.
        let wait = match left {
            Some(Some(left)) => left.clamp(Duration::from_secs(1), PERIOD),
            Some(None) | None => PERIOD,
        };
        core.reactor.sleep(wait).await;
        let now = core.reactor.clock().unix();
        if next_end.is_some_and(|end| now >= end) {
            return Turn::OldEnds;
        }
    }
}

/// Takes out what is good no more.
pub(super) async fn end_old(core: &Core, parts: &[Rc<dyn Part>], source: &ConfigSource) {
    let (source, running) = (source.clone(), Config::clone(&core.config()));
    let users = running.users.users.clone();
    let building = unblock(move || with_users(&source, &running, users));
    match building.await {
        Ok(fresh) => {
            let told = take_over(core, parts, fresh);
            info!("an old secret is good no more{}", in_words(&told));
        }
        Err(error) => error!("an old secret cannot be taken out: {error}; restart"),
    }
}

type Fresh = (Config, Differences);

/// Blocks.
fn with_users(source: &ConfigSource, running: &Config, users: Users) -> Result<Fresh, String> {
    let fresh = source.with_users(running, users);
    fresh.map_err(|error| error.to_string())
}

/// At once: nobody is served meanwhile. What is to be said of it.
fn take_over(core: &Core, parts: &[Rc<dyn Part>], (config, differences): Fresh) -> Vec<String> {
    let change = Change::new(core.config(), Rc::new(config), differences);
    core.take_over(&change.new);
    let mut report = Report::default();
    for part in parts {
        part.take_secrets(&change, &mut report);
    }
    tell_of_config(&change, &report);
    report.told
}

fn in_words(told: &[String]) -> String {
    told.iter().map(|told| format!("; {told}")).collect()
}
