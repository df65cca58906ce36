//! `run`: joins the rooms together and keeps them running.

mod clients;
#[cfg(feature = "ctl")]
mod control;
mod conversation;
mod core;
mod error;
mod gate;
mod link;
mod metrics_page;
mod part;
mod ports;
mod privileges;
mod readiness;
mod reload;
mod replays;
mod rooms;
mod self_test;
mod server;
mod settings;
mod signals;
#[cfg(feature = "ctl")]
mod status;
mod telegram;
mod test;
mod usage;
mod users;
mod web;
#[cfg(feature = "tls")]
mod web_tls;
mod welcome;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::thread::set_no_new_privs;

use super::complain;
use super::exit::Exit;
use crate::config::{Config, ConfigSource};
use crate::log;
use crate::net::Reactor;

pub(super) use test::test;

use error::RunError;
use server::Server;
use signals::Hangups;

/// How long the log's reader gets for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What comes before the config is read, and while there is no other thread.
pub(super) fn begin() -> io::Result<Hangups> {
    // It runs no other program, and one that it was made to run shall gain nothing by
    // a set-user-ID bit. Kernels before 3.5 and some sandboxes refuse to promise
    // that; the proxy does as well without.
    let _ = set_no_new_privs(true);
    Hangups::catch()
}

/// Runs the proxy until a signal ends it. `source` gives the config again at
/// SIGHUP.
pub(super) fn run(source: &ConfigSource, config: Config, begun: io::Result<Hangups>) -> Exit {
    let begun = begun.map_err(RunError::System);
    match begun.and_then(|hangups| start(source, &Rc::new(config), hangups)) {
        Ok(()) => Exit::Ok,
        Err(error) => complain(error.exit(), error),
    }
}

fn start(source: &ConfigSource, config: &Rc<Config>, hangups: Hangups) -> Result<(), RunError> {
    let reactor = Reactor::new().map_err(RunError::System)?;
    let server = Server::new(&reactor, source, config, hangups)?;
    // Not before: that a user is given up holds for later threads alone.
    if let Err(error) = log::detach() {
        warn!(
            "no thread for the log: {error}; if its reader stands still, so does the proxy: is the \
             limit of processes (ulimit -u) too low?"
        );
    }
    let (executor, source) = (server.executor().clone(), source.clone());
    // As a task it is looked at when something of it happens; what is blocked on, at each
    // turn.
    let serving = executor.spawn(async move { server.serve(&source).await });
    reactor.block_on(&executor, serving);
    log::finish(LAST_LINES);
    Ok(())
}
