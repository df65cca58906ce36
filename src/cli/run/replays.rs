//! The memory of handshakes from one run to the next, in `--data-dir`, for those
//! who want it kept.

use std::time::{SystemTime, UNIX_EPOCH};

use super::server::Server;
use crate::config::{Config, DataDir, cure};
use crate::guard::gate::Gate;
use crate::net::{Reactor, unblock};

const NAME: &str = "replays";

/// Takes over what the last run kept; blocks.
pub(super) fn restore(gate: &Gate, config: &Config, reactor: &Reactor) {
    if !config.guard.replay_cache.keep {
        return;
    }
    let data_dir = DataDir::new(&config.data_dir);
    let Some(saved) = data_dir.read_at_most(NAME, gate.longest_replays()) else {
        return;
    };
    if !gate.restore_replays(&saved, reactor.now(), unix_now()) {
        info!("the handshakes that the last run kept are of no use: too old, or another number");
    }
}

impl Server {
    pub(super) async fn keep_replays(&self) {
        let config = self.config.borrow().clone();
        if !config.guard.replay_cache.keep {
            return;
        }
        let Some(saved) = self.gate.replays(self.reactor.now(), unix_now()) else {
            return;
        };
        let data_dir = DataDir::new(&config.data_dir);
        if let Err(error) = unblock(move || data_dir.write(NAME, &saved)).await {
            let place = config.data_dir.display();
            let cure = cure(&error, "give a writable --data-dir");
            warn!("cannot keep handshakes in {place}: {error}; {cure}");
        }
    }
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
