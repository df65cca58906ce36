//! The memory of handshakes from one run to the next, in `--data-dir`, for those
//! who want it kept.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::server::Server;
use crate::config::{Config, DataDir, cure, read_file};
use crate::guard::gate::Gate;
use crate::net::Reactor;

const NAME: &str = "replays";

/// Takes over what the last run kept; blocks.
pub(super) fn restore(gate: &Gate, config: &Config, reactor: &Reactor) {
    if !config.guard.replay_cache.keep {
        return;
    }
    let path = DataDir::new(&config.data_dir).place_of(NAME);
    let why = match read_file(&path, gate.longest_replays()) {
        Ok(saved) if gate.restore_replays(&saved, reactor.now(), unix_now()) => return,
        Ok(_) => "it is a day old, of another version, or damaged".to_owned(),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => return,
            io::ErrorKind::FileTooLarge => "it is more than --replay-cache has room for".to_owned(),
            _ => error.to_string(),
        },
    };
    warn!(
        "the handshakes of the last run are forgotten, so one that was recorded is let in once \
         more: {}: {why}",
        path.display()
    );
}

impl Server {
    pub(super) async fn keep_replays(&self) {
        let config = self.config.borrow().clone();
        if !config.guard.replay_cache.keep {
            return;
        }
        let data_dir = self.usage.data_dir.clone();
        let place = data_dir.place_of(NAME);
        let work = || {
            let saved = self.gate.replays(self.reactor.now(), unix_now())?;
            Some(move || data_dir.write(NAME, &saved))
        };
        if let Some(Err(error)) = self.replays.run(work).await {
            let place = place.display();
            let cure = cure(&error, "give a writable --data-dir");
            warn!("cannot keep handshakes, {place}: {error}; {cure}");
        }
    }
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
