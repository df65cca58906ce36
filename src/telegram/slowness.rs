//! What is done about clients that take their data more slowly than it comes,
//! while others wait behind them on the same connection: plain values and
//! rules, no sockets and no clock.
//!
//! Answers on one connection come in order. Whoever is behind a client that
//! does not take its own can only wait or leave, so a connection that is
//! blocked is left to those who block it ([`Burden`], [`Lanes`]), and only who
//! takes nothing at all is cut ([`Tolerance`]).

use std::time::{Duration, Instant};

use crate::net::CHUNK_LEN;

/// Time for which a connection is blocked, blocks that follow one another
/// closely taken together, before it is left to those who block it.
pub(super) const ISOLATE_AFTER: Duration = Duration::from_millis(100);

/// The burden never counts as more than this.
const MAX_BURDEN: Duration = Duration::from_secs(1);

/// A free connection sheds its burden in four times as long as it took to get
/// it: one that is blocked for a fifth of the time keeps it.
const SHEDDING: u32 = 4;

/// How long a session counts as slow after it last blocked a connection.
const SLOW_FOR: Duration = Duration::from_secs(30);

/// For how long in all others wait behind clients that take nothing.
const TOLERANCE: Duration = Duration::from_secs(4);

/// Tolerance comes back in eight times the time that it was used in.
const RECOVERY: u32 = 8;

/// Even with no tolerance left, a client has this long to take something: more than a
/// kernel needs. As clients are looked at every 20 ms, thirty of them in a row take 1.2
/// to 1.8 s.
const MOMENT: Duration = Duration::from_millis(40);

/// For this long after a kernel is full, it may still take a little more when it is
/// asked again. A byte that it takes later is proof that the client reads.
const SWALLOWING: Duration = Duration::from_secs(1);

/// Connections of one DC that are left to slow clients at most.
pub(super) const MAX_LANES: usize = 8;

/// Leaving the only connection to slow clients makes us open a new one. So many may
/// follow one another at once, then one in so long.
const LANE_BURST: u32 = 8;
const LANE_EVERY: Duration = Duration::from_secs(2);

/// While no more connections may be left to slow clients, a client that takes nothing
/// has this long.
const NO_LANE_TOLERANCE: Duration = Duration::from_millis(100);

/// How long a session waits behind a client that does read before its own
/// client is told to ask again elsewhere.
pub(super) const BEHIND_LIMIT: Duration = Duration::from_secs(10);

/// How much of a connection's time goes by blocked.
#[derive(Clone, Copy, Default)]
pub(super) struct Burden {
    weight: Duration,
    noted: Option<Instant>,
    is_blocked: bool,
}

impl Burden {
    /// Says how the connection is from `now` on.
    pub(crate) fn note(&mut self, now: Instant, is_blocked: bool) {
        self.weight = self.weight(now);
        self.noted = Some(now);
        self.is_blocked = is_blocked;
    }

    pub(crate) fn weight(&self, now: Instant) -> Duration {
        let passed = self.noted.map_or(Duration::ZERO, |noted| now - noted);
        match self.is_blocked {
            true => (self.weight + passed).min(MAX_BURDEN),
            false => self.weight.saturating_sub(passed / SHEDDING),
        }
    }
}

/// What a session's client has shown of how it takes its data.
#[derive(Clone, Copy, Default)]
pub(super) struct Slowness {
    /// The blocks that count: each within [`SLOW_FOR`] of the one before.
    blocks: Option<Blocks>,
}

#[derive(Clone, Copy)]
struct Blocks {
    first: Instant,
    last: Instant,
    /// It took a byte when its kernel had long been full.
    reads: bool,
    /// It has a connection for slow clients.
    isolated: bool,
}

impl Slowness {
    /// It blocks its connection `now`; it took its last byte at `taken`, which
    /// is known `lag` later.
    pub(crate) fn blocks(&mut self, now: Instant, taken: Instant, lag: Duration) {
        let mut blocks = self.recent(now).unwrap_or(Blocks {
            first: now,
            last: now,
            reads: false,
            isolated: false,
        });
        blocks.last = now;
        blocks.reads |= taken >= blocks.first + SWALLOWING + lag;
        self.blocks = Some(blocks);
    }

    /// Its connection is left to it.
    pub(crate) fn isolate(&mut self) {
        if let Some(blocks) = &mut self.blocks {
            blocks.isolated = true;
        }
    }

    /// It is kept apart from clients that are not.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.recent(now).is_some_and(|blocks| blocks.isolated)
    }

    pub(crate) fn reads(&self, now: Instant) -> bool {
        self.recent(now).is_some_and(|blocks| blocks.reads)
    }

    fn recent(&self, now: Instant) -> Option<Blocks> {
        self.blocks.filter(|blocks| now < blocks.last + SLOW_FOR)
    }
}

/// How long the sessions of one DC put up with clients that take nothing: all
/// of these together, so that many of them take no longer than one.
#[derive(Clone, Copy, Default)]
pub(super) struct Tolerance {
    used: Duration,
    noted: Option<Instant>,
}

/// The client that blocks a connection, while others wait behind it.
pub(super) struct Blocker {
    /// How long it has taken nothing of what waits for it.
    pub(crate) lull: Duration,
    /// How late that is known.
    pub(crate) lag: Duration,
    /// See [`Slowness::reads`].
    pub(crate) reads: bool,
    /// The connection cannot be left to it. See [`Lanes`].
    pub(crate) no_lane: bool,
}

impl Tolerance {
    /// Whether the blocker has to go. To be asked a few times in a
    /// [`MOMENT`] as long as it blocks.
    pub(crate) fn is_out(&mut self, now: Instant, blocker: &Blocker) -> bool {
        if blocker.lull < MOMENT + blocker.lag {
            return false;
        }
        if blocker.reads {
            // It is known to go on after a while.
            return blocker.lull >= TOLERANCE;
        }
        self.use_up(now, blocker.lull);
        self.used >= TOLERANCE
            || (blocker.no_lane && blocker.lull >= NO_LANE_TOLERANCE + blocker.lag)
    }

    /// The last `lull` until `now` was waited, here or behind others too.
    fn use_up(&mut self, now: Instant, lull: Duration) {
        let passed = self.noted.map_or(lull, |noted| now - noted);
        let waited = lull.min(passed);
        let recovered = (passed - waited) / RECOVERY;
        self.used = (self.used.saturating_sub(recovered) + waited).min(TOLERANCE);
        self.noted = Some(now);
    }
}

/// How fast connections may be left to slow clients.
#[derive(Clone, Copy, Default)]
pub(super) struct Lanes {
    /// When the last one that is allowed for would be due if they came one by
    /// one.
    due: Option<Instant>,
}

impl Lanes {
    /// Whether one more may be now; it then counts.
    pub(crate) fn may_open(&mut self, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        if due > now + LANE_EVERY * (LANE_BURST - 1) {
            return false;
        }
        self.due = Some(due + LANE_EVERY);
        true
    }
}

/// The `--buffers`, and one client's part in them, in bytes.
pub(super) struct Buffers {
    pub(crate) total: usize,
    pub(crate) free: usize,
    /// What waits for the client.
    pub(crate) own: usize,
}

impl Buffers {
    /// How much may wait for the client in all, where `most` is its due. The
    /// fewer buffers are free, the less each may have, and a quarter of all is
    /// left to other uses but for a chunk each. For others that wait behind it, it
    /// may have more, as long as half of all are free.
    pub(crate) fn allowance(&self, most: usize, others_wait: bool) -> usize {
        let due = most.min(self.free.saturating_sub(self.total / 4) / 2);
        let due = due.max(CHUNK_LEN);
        let spare = self.free.saturating_sub(self.total / 2);
        match others_wait && spare > 0 {
            true => due.max(self.own + spare),
            false => due,
        }
    }
}

#[cfg(test)]
mod tests;
