//! Whether the names of our domains lead to this machine.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{MAX_MODELS, Sites, advice};
use crate::config::Reach;
use crate::net::resolve;

/// Records change seldom, and the address of a router once a day.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Until our own address is known, or a name is found.
const RETRY: Duration = Duration::from_secs(60);

/// Addresses of a name that are looked at.
const MAX_ADDRESSES: usize = 8;

impl Sites {
    /// Says of each domain once when its name leads to another machine than ours.
    pub(super) async fn judge_names_for_ever(self: &Rc<Self>) {
        let mut said = Vec::new();
        loop {
            let wait = match self.loops.public_ip() {
                Some(own) if self.judge_names(own, &mut said).await => LOOK_EVERY,
                _ => RETRY,
            };
            self.reactor.timeout(wait, self.changed.changed()).await;
        }
    }

    /// Whether all names were found.
    async fn judge_names(&self, own: IpAddr, said: &mut Vec<String>) -> bool {
        let config = self.config.get();
        if config.has_relays || !self.is_on() || Reach::of(own) != Reach::Internet {
            return true;
        }
        let (mut complete, mut lines) = (true, Vec::new());
        for domain in config.domains.iter().take(MAX_MODELS) {
            let name = domain.as_str().to_owned();
            let looked = resolve(name, 443, MAX_ADDRESSES).await;
            let Ok(found) = looked else {
                complete = false;
                continue;
            };
            let found: Vec<_> = found.iter().map(|address| address.ip()).collect();
            if let Some(advice) = advice::of_addresses(&found, &[own]) {
                lines.push(format!("{domain} {advice}"));
            }
        }
        for line in lines.iter().filter(|line| !said.contains(line)) {
            warn!("{line}");
        }
        *said = lines;
        complete
    }
}
