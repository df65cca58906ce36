//! What was counted at the beginning of the day, which is one of UTC.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::metrics::Metrics;
use crate::net::Reactor;
use crate::wire::calendar::DAY_SECONDS;

/// How soon it is noticed that the machine's clock was set.
const LOOK_EVERY: u64 = 3600;

#[derive(Default)]
pub(super) struct Today(Cell<Option<Counted>>);

#[derive(Clone, Copy)]
struct Counted {
    /// Days since 1970.
    day: u64,
    clients: u64,
    bytes: u64,
}

/// Since midnight, or the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SinceMidnight {
    pub(super) clients: u64,
    pub(super) bytes: u64,
}

impl Today {
    pub(super) async fn run(&self, reactor: &Rc<Reactor>, metrics: &Metrics) {
        loop {
            let now = reactor.clock().unix();
            self.look(now, counts(metrics));
            let to_midnight = DAY_SECONDS - now % DAY_SECONDS;
            reactor
                .sleep(Duration::from_secs(to_midnight.min(LOOK_EVERY)))
                .await;
        }
    }

    /// Before the first look nothing was counted.
    pub(super) fn since_midnight(&self, now: u64, metrics: &Metrics) -> SinceMidnight {
        self.look(now, counts(metrics));
        let (clients, bytes) = counts(metrics);
        let before = self.0.get().map_or((0, 0), |at| (at.clients, at.bytes));
        SinceMidnight {
            clients: clients.saturating_sub(before.0),
            bytes: bytes.saturating_sub(before.1),
        }
    }

    fn look(&self, now: u64, (clients, bytes): (u64, u64)) {
        let day = now / DAY_SECONDS;
        let is_same = self.0.get().is_some_and(|at| at.day == day);
        if is_same {
            return;
        }
        // What came before the first look is of the first day.
        let (clients, bytes) = match self.0.get() {
            Some(_) => (clients, bytes),
            None => (0, 0),
        };
        self.0.set(Some(Counted {
            day,
            clients,
            bytes,
        }));
    }
}

fn counts(metrics: &Metrics) -> (u64, u64) {
    let bytes = metrics.client_bytes_in.get() + metrics.client_bytes_out.get();
    (metrics.clients_by_kind.total(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ClientKind;

    #[test]
    fn a_day_begins_at_midnight_and_the_first_one_at_the_start() {
        let (today, metrics) = (Today::default(), Metrics::default());
        let come = || metrics.client_joined(ClientKind::Padded, Duration::ZERO);
        let day = 20_000 * DAY_SECONDS;
        come();
        let told = |now| today.since_midnight(now, &metrics).clients;
        assert_eq!(told(day + 5), 1);
        come();
        assert_eq!(told(day + DAY_SECONDS - 1), 2);
        assert_eq!(told(day + DAY_SECONDS), 0);
        come();
        metrics.client_bytes_in.add(7);
        let wanted = SinceMidnight {
            clients: 1,
            bytes: 7,
        };
        assert_eq!(
            today.since_midnight(day + DAY_SECONDS + 9, &metrics),
            wanted
        );
    }

    #[test]
    fn midnight_passes_while_nobody_asks() {
        let reactor = Reactor::virtual_time().unwrap();
        let (today, metrics) = (Today::default(), Metrics::default());
        let executor = crate::net::Executor::default();
        let come = || metrics.client_joined(ClientKind::Padded, Duration::ZERO);
        reactor.block_on(&executor, async {
            let living = async {
                come();
                reactor.sleep(Duration::from_secs(DAY_SECONDS)).await;
                come();
                reactor.sleep(Duration::from_secs(1)).await;
            };
            smol::future::or(living, today.run(&reactor, &metrics)).await;
            let now = reactor.clock().unix();
            assert_eq!(today.since_midnight(now, &metrics).clients, 1);
        });
    }
}
