//! The last hour, in samples of ten seconds: how many clients there were, and what went both
//! ways.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use crate::config::Role;
use crate::metrics::Metrics;
use crate::net::Reactor;

const EVERY: Duration = Duration::from_secs(10);

/// An hour. Each is 24 bytes: 8.6 KiB, whatever happens.
const SAMPLES: usize = 360;

#[derive(Default)]
pub(super) struct History(RefCell<Samples>);

#[derive(Default)]
struct Samples {
    all: VecDeque<Sample>,
    /// What had been counted at the last one.
    counted: (u64, u64),
}

struct Sample {
    clients: u32,
    /// From clients to Telegram, and the other way.
    up: u64,
    down: u64,
}

impl History {
    /// What it does while nobody looks: a sample now and then.
    pub(super) async fn run(&self, reactor: &Rc<Reactor>, metrics: &Metrics, role: Role) {
        self.0.borrow_mut().all.reserve_exact(SAMPLES);
        loop {
            reactor.sleep(EVERY).await;
            self.0.borrow_mut().take(counts(metrics, role));
        }
    }
}

impl Samples {
    fn take(&mut self, (clients, up, down): (u64, u64, u64)) {
        if self.all.len() >= SAMPLES {
            self.all.pop_front();
        }
        let before = std::mem::replace(&mut self.counted, (up, down));
        self.all.push_back(Sample {
            clients: u32::try_from(clients).unwrap_or(u32::MAX),
            up: up.saturating_sub(before.0),
            down: down.saturating_sub(before.1),
        });
    }
}

/// Clients now, and what was counted of them. A back has none of its own: it counts sessions,
/// and what it exchanges with Telegram for them.
fn counts(metrics: &Metrics, role: Role) -> (u64, u64, u64) {
    match role {
        Role::Both | Role::Front => (
            metrics.clients.get(),
            metrics.client_bytes_in.get(),
            metrics.client_bytes_out.get(),
        ),
        Role::Back => {
            let dcs = metrics.dcs.all();
            (
                dcs.iter().map(|(_, dc)| dc.sessions.get()).sum(),
                metrics.dc_bytes_out.get(),
                metrics.dc_bytes_in.get(),
            )
        }
    }
}

impl History {
    /// JSON, the oldest first.
    pub(super) fn json(&self) -> String {
        let samples = self.0.borrow();
        let list = |value: fn(&Sample) -> u64| {
            let mut text = String::new();
            for sample in &samples.all {
                let comma = if text.is_empty() { "" } else { "," };
                let _ = write!(text, "{comma}{}", value(sample));
            }
            text
        };
        format!(
            "{{\"seconds_each\":{},\"clients\":[{}],\"bytes_up\":[{}],\"bytes_down\":[{}]}}\n",
            EVERY.as_secs(),
            list(|sample| sample.clients.into()),
            list(|sample| sample.up),
            list(|sample| sample.down),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_in_a_fixed_room() {
        let mut samples = Samples::default();
        samples.all.reserve_exact(SAMPLES);
        let room = samples.all.capacity();
        for number in 0..3 * SAMPLES as u64 {
            samples.take((number, 10 * number, 1000));
        }
        assert_eq!((samples.all.len(), samples.all.capacity()), (SAMPLES, room));
        assert!(room * size_of::<Sample>() <= 32 << 10);
        let last = samples.all.back().unwrap();
        assert_eq!((last.clients, last.up, last.down), (1079, 10, 0));
    }

    #[test]
    fn a_sample_is_taken_every_ten_seconds() {
        let reactor = Reactor::virtual_time().unwrap();
        let (history, metrics) = (History::default(), Metrics::default());
        let executor = crate::net::Executor::default();
        reactor.block_on(&executor, async {
            let living = async {
                metrics.client_bytes_in.add(7);
                metrics.clients.set(3);
                reactor.sleep(Duration::from_secs(25)).await;
            };
            let sampling = history.run(&reactor, &metrics, Role::Both);
            smol::future::or(living, sampling).await;
        });
        let samples = history.0.borrow();
        let seen: Vec<_> = samples
            .all
            .iter()
            .map(|one| (one.clients, one.up))
            .collect();
        assert_eq!(seen, [(3, 7), (3, 0)]);
    }
}
