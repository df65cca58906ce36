//! The handshakes that have come, in this run and before it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::Gate;
use crate::guard::half_open::Origin;
use crate::guard::replay::{Batch, Left, ReplayMemory, Shares, Uptime, Uptimes};
use crate::log::Throttle;
use crate::metrics::RejectReason;

/// Seconds for which a handshake is remembered. Longer than the time window of
/// fake-TLS; the padded form carries no time.
const REPLAY_AGE: u32 = 24 * 3600;

/// Between lines about clients for whom there is no place for ever.
const COMPLAINTS: Duration = Duration::from_secs(24 * 3600);

/// What is remembered of handshakes, each in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Replays,
    Uptimes,
}

/// Handshakes that have come.
struct Replays {
    memory: ReplayMemory,
    uptimes: Uptimes,
    shares: Shares,
}

impl Replays {
    fn new(entries: usize) -> Self {
        Self {
            memory: ReplayMemory::new(entries, REPLAY_AGE),
            uptimes: Uptimes::new(entries),
            shares: Shares::default(),
        }
    }
}

/// The memory of one run, and who keeps it for the next.
pub(super) struct Handshakes {
    replays: RefCell<Option<Replays>>,
    /// The task that writes them, while it has nothing to write.
    keeper: Cell<Option<Waker>>,
    full: Throttle,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            replays: RefCell::default(),
            keeper: Cell::default(),
            full: Throttle::new(COMPLAINTS),
        }
    }
}

impl Gate {
    pub(super) fn remember(&self, entries: usize) {
        let replays = &mut *self.handshakes.replays.borrow_mut();
        match replays {
            _ if entries == 0 => *replays = None,
            Some(there) => {
                there.memory.resize(entries);
                there.uptimes.resize(entries);
            }
            None => *replays = Some(Replays::new(entries)),
        }
    }

    /// Are the handshakes remembered to be kept for another run?
    pub(crate) fn keep_replays(&self, wanted: bool) {
        self.with_replays(|replays| {
            replays.memory.keep(wanted);
            replays.uptimes.keep(wanted);
        });
        self.wake_keeper();
    }

    /// Completes when there is something that [`take_news`](Self::take_news) gives.
    pub(crate) async fn has_news(&self) {
        poll_fn(|cx| {
            let is_new =
                |replays: &mut Replays| replays.memory.has_news() || replays.uptimes.has_news();
            if self.with_replays(is_new) == Some(true) {
                return Poll::Ready(());
            }
            self.handshakes.keeper.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// What is to be written next, if anything.
    pub(crate) fn take_news(&self, of: Memory, now: Instant, unix_now: u64) -> Option<Batch> {
        let seconds = self.seconds(now);
        self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.take_news(seconds, unix_now),
            Memory::Uptimes => replays.uptimes.take_news(),
        })?
    }

    /// What was written of it is gone, or writing has failed: all is to be written
    /// anew.
    pub(crate) fn begin_anew(&self, of: Memory) {
        self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.begin_anew(),
            Memory::Uptimes => replays.uptimes.begin_anew(),
        });
    }

    /// The longest that a file of it can be, in bytes.
    pub(crate) fn longest(&self, of: Memory) -> u64 {
        let longest = self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.longest(),
            Memory::Uptimes => replays.uptimes.longest(),
        });
        longest.unwrap_or(0)
    }

    /// Takes over what an earlier run has left, before the first visitor: the file
    /// before the latest, and that.
    pub(crate) fn restore_replays(
        &self,
        [before, latest]: [Option<&[u8]>; 2],
        now: Instant,
        unix_now: u64,
    ) -> Left {
        let seconds = self.seconds(now);
        let left =
            self.with_replays(|replays| replays.memory.restore(before, latest, seconds, unix_now));
        left.unwrap_or_default()
    }

    /// The same for those that tell no time.
    pub(crate) fn restore_uptimes(&self, file: Option<&[u8]>) -> Left {
        let left = self.with_replays(|replays| replays.uptimes.restore(file));
        left.unwrap_or_default()
    }

    fn with_replays<T>(&self, action: impl FnOnce(&mut Replays) -> T) -> Option<T> {
        self.handshakes.replays.borrow_mut().as_mut().map(action)
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.handshakes.keeper.take() {
            keeper.wake();
        }
    }

    /// A handshake that did not come before is remembered from here on.
    pub(super) fn comes_first(
        &self,
        client: IpAddr,
        id: &[u8],
        has_uptime: bool,
        now: Instant,
    ) -> Result<(), RejectReason> {
        let seconds = self.seconds(now);
        if let Some(replays) = &mut *self.handshakes.replays.borrow_mut() {
            if !replays.memory.remember(id, seconds) {
                return Err(RejectReason::Replay);
            }
            if has_uptime {
                let shares = &mut replays.shares;
                let may_add = || shares.take(Origin::of(client), seconds);
                match replays.uptimes.remember(id, may_add) {
                    Uptime::New => {}
                    Uptime::Known => return Err(RejectReason::Replay),
                    Uptime::Full => {
                        self.complain(&replays.uptimes, now);
                        return Err(RejectReason::UptimesFull);
                    }
                }
            }
        }
        self.wake_keeper();
        Ok(())
    }

    fn complain(&self, uptimes: &Uptimes, now: Instant) {
        let Some(skipped) = self.handshakes.full.pass(now) else {
            return;
        };
        match uptimes.is_full() {
            true => warn!(
                "clients that tell their uptime instead of the time see the site: the {} places \
                 for them are taken for ever{skipped}; for more give a larger --replay-cache, or \
                 stop, delete the file uptimes in --data-dir and give out a new secret",
                uptimes.capacity()
            ),
            false => warn!(
                "clients that tell their uptime instead of the time see the site: their address \
                 has taken the {} places for ever that one gets a day{skipped}; they come in \
                 tomorrow, or with a newer app",
                Shares::A_DAY
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::Config;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn gate(now: Instant) -> Rc<Gate> {
        let flags = [("--replay-cache", "100"), ("--flood-limit", "off")];
        let guard = Config::of(&flags).guard;
        let gate = Gate::new(&guard, [], "", now).ok().unwrap();
        gate.keep_replays(true);
        gate
    }

    fn kept(gate: &Gate, of: Memory, now: Instant) -> Vec<u8> {
        let batches = std::iter::from_fn(|| gate.take_news(of, now, 1_780_000_000));
        batches.flat_map(|batch| batch.bytes).collect()
    }

    #[test]
    fn a_hello_without_a_time_comes_in_once_in_this_run_and_all_later_ones() {
        let now = Instant::now();
        let first = gate(now);
        let client = IpAddr::from([192, 0, 2, 1]);
        let prove =
            |gate: &Gate, id, has_uptime, now| gate.prove(client, &[id; 32], has_uptime, now);
        assert_eq!(prove(&first, 1, false, now), Ok(()));
        assert_eq!(prove(&first, 2, true, now), Ok(()));
        let files = [Memory::Replays, Memory::Uptimes].map(|of| kept(&first, of, now));
        let next = gate(now);
        next.restore_replays([None, Some(&files[0])], now, 1_780_000_000);
        next.restore_uptimes(Some(&files[1]));
        for gate in [first, next] {
            for id in [1, 2] {
                assert_eq!(prove(&gate, id, id == 2, now), Err(RejectReason::Replay));
            }
            let later = now + 2 * DAY;
            assert_eq!(prove(&gate, 1, false, later), Ok(()));
            assert_eq!(prove(&gate, 2, true, later), Err(RejectReason::Replay));
            // Its address has a share of the places, another one has its own.
            let mine = (3..).take_while(|id| prove(&gate, *id, true, now + DAY).is_ok());
            assert_eq!(mine.count(), usize::from(Shares::A_DAY));
            let other = IpAddr::from([192, 0, 2, 2]);
            assert_eq!(gate.prove(other, &[200; 32], true, now + DAY), Ok(()));
        }
    }
}
