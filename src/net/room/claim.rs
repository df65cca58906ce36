//! One large packet: what it holds, and how it comes.

use std::time::{Duration, Instant};

use super::parties::{Destination, Party, User};
use crate::clock::millis;
use crate::metrics::Revocation;
use crate::net::CHUNK_LEN;

/// Bytes a second of a sender that nobody may call slow.
pub(crate) const GOOD_PACE: u64 = 16 * 1024;

/// A sender is late when it is so far behind [`GOOD_PACE`].
pub(crate) const LATE: Duration = Duration::from_millis(300);

/// How often those who wait make us look for who holds them up.
pub(in crate::net) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a sender is behind counts up to this. It is more than [`LATE`] by the time from
/// one look to the next: so a sender that is too slow is found late by some look, even
/// if each one comes right behind a few of its bytes.
const MAX_BEHIND: Duration = LATE.saturating_add(LOOK_EVERY);

/// A sender that was faster than [`GOOD_PACE`] may rest for so long at most: a burst
/// does not excuse a long silence.
pub(crate) const AHEAD: Duration = Duration::from_millis(200);

/// Who has waited so long makes late ones go.
pub(crate) const BLOCKED: Duration = Duration::from_millis(250);

/// A packet joins the queue when so many of its first bytes are there.
pub(crate) const FIRST_BYTES: usize = 16 * 1024;

/// What a sender will bring soon is guessed from the last two such times: twice the
/// better one. Whoever would begin another packet leaves that free.
pub(crate) const STRIDE: Duration = Duration::from_millis(100);

/// While others wait, so many bytes in each such time, and all within
/// [`MAX_PACKET_TIME`].
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
pub(crate) const WINDOW_BYTES: usize = 30 * 4096;
pub(crate) const MAX_PACKET_TIME: Duration = Duration::from_secs(300);

pub(crate) struct Claim {
    pub(crate) party: Party,
    pub(crate) to: Destination,
    /// It is of one chunk: it passes by all others.
    pub(crate) is_small: bool,
    /// Chunks to come.
    pub(crate) rest: usize,
    /// Chunks that it has, filled or set aside.
    pub(crate) held: usize,
    /// Chunks of these that are set aside.
    pub(crate) aside: usize,
    announced: Instant,
    /// When it should send again, at [`GOOD_PACE`].
    due: Instant,
    /// Before that it can have sent nothing that would be here.
    pub(crate) away: Instant,
    window: Window,
    stride: Stride,
    /// Its party's turn in the queue, once it has waited.
    pub(crate) turn: Option<u64>,
    /// When its turn among those who have waited for long ended.
    pub(crate) last_turn: Option<Instant>,
    pub(crate) state: State,
    pub(crate) revoked: Option<Revocation>,
}

/// What a packet brought lately, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Stride {
    since: Instant,
    last: usize,
    this: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Window {
    since: Instant,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is for its sender to go on.
    Open,
    Waiting(QueueKey, Instant),
    /// There is room for it, which it has not looked for yet.
    Called,
}

/// Who waits has the turn of his party, in chunks that it has had or waits for before,
/// then a number of his own.
pub(crate) type QueueKey = (u64, u64);

impl Claim {
    pub(crate) fn new(user: User, to: Destination, chunks: usize, now: Instant) -> Self {
        Self {
            party: Party {
                user,
                has_finished: false,
            },
            to,
            is_small: chunks <= 1,
            rest: chunks,
            held: 0,
            aside: 0,
            announced: now,
            due: now,
            away: now,
            window: Window {
                since: now,
                bytes: 0,
            },
            stride: Stride {
                since: now,
                last: 0,
                this: 0,
            },
            turn: None,
            last_turn: None,
            state: State::Open,
            revoked: None,
        }
    }

    /// It begins, or has waited: what its sender brings is measured from here.
    pub(crate) fn go_on(&mut self, now: Instant) {
        self.due = self.due.max(now);
        self.window = Window {
            since: now,
            bytes: 0,
        };
        self.stride = Stride {
            since: now,
            last: 0,
            this: 0,
        };
    }

    pub(crate) fn missing(&self) -> usize {
        match self.held {
            0 => 0,
            _ => self.rest,
        }
    }

    pub(crate) fn expected(&self, now: Instant) -> usize {
        let Stride { since, last, this } = self.stride;
        if self.held == 0 || self.state != State::Open || now >= since + 2 * STRIDE {
            return 0;
        }
        self.rest.min(2 * last.max(this) / CHUNK_LEN)
    }

    pub(crate) fn received(&mut self, bytes: usize, now: Instant) {
        let earned = Duration::from_micros(bytes as u64 * 1_000_000 / GOOD_PACE);
        let least = now.checked_sub(MAX_BEHIND);
        let from = least.map_or(now, |at| at.max(self.due));
        self.due = (from + earned).min(now + AHEAD);
        self.window.bytes += bytes;
        let stride = &mut self.stride;
        let age = now.saturating_duration_since(stride.since);
        if age >= STRIDE {
            stride.last = if age < 2 * STRIDE { stride.this } else { 0 };
            (stride.this, stride.since) = (0, now);
        }
        stride.this += bytes;
    }

    /// Bytes that have to be there before it may wait, if its rest is not shorter. With
    /// fewer, it is the sender that keeps us waiting.
    pub(crate) fn worth_waiting(&self) -> usize {
        match self.held {
            0 => FIRST_BYTES,
            _ => CHUNK_LEN,
        }
    }

    pub(crate) fn waited(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Waiting(_, since) => Some(now.saturating_duration_since(since)),
            State::Open | State::Called => None,
        }
    }

    pub(crate) fn is_blocked(&self, now: Instant) -> bool {
        self.waited(now).is_some_and(|waited| waited >= BLOCKED)
    }

    fn behind(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.due.max(self.away))
    }

    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.state == State::Open && self.behind(now) >= LATE
    }

    /// Chunks times milliseconds that it wastes; `None` if it does not.
    pub(crate) fn waste(&self, now: Instant) -> Option<u64> {
        let counts = self.held > 0 && self.revoked.is_none() && self.is_late(now);
        let behind = millis(self.behind(now));
        counts.then(|| (self.held as u64).saturating_mul(behind))
    }

    pub(crate) fn overdue(&mut self, since: Instant, now: Instant) -> Option<Revocation> {
        if self.revoked.is_some() {
            return None;
        }
        if now.saturating_duration_since(self.announced) >= MAX_PACKET_TIME {
            return Some(Revocation::TooLong);
        }
        if self.held == 0 || self.state != State::Open {
            return None;
        }
        let begun = self.window.since.max(since);
        if now.saturating_duration_since(begun) < WINDOW {
            return None;
        }
        let bytes = std::mem::take(&mut self.window.bytes);
        self.window.since = now;
        (bytes < WINDOW_BYTES).then_some(Revocation::TooSlow)
    }
}
