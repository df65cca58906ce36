//! The memory of handshakes from one run to the next, in `--data-dir`, for those
//! who want it kept.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::server::Server;
use crate::config::{Config, DataDir, cure, read_file};
use crate::guard::gate::Gate;
use crate::net::{Reactor, unblock};

const NAME: &str = "replays";

/// Takes over what the last run kept; blocks.
pub(super) fn restore(gate: &Gate, config: &Config, reactor: &Reactor) {
    if !config.guard.replay_cache.keep {
        return;
    }
    let path = config.data_dir.join(NAME);
    let reason = match read_file(&path, gate.longest_replays()) {
        Ok(saved) if gate.restore_replays(&saved, reactor.now(), unix_now()) => return,
        Ok(_) => "too old, damaged, or of another version",
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => return,
            io::ErrorKind::FileTooLarge => "more than --replay-cache has room for",
            _ => "the file cannot be read; it must be a file of the proxy's user",
        },
    };
    let path = path.display();
    warn!("the handshakes that the last run kept in {path} are forgotten: {reason}");
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
