//! What is known of one route to one DC. Pure: time is passed in.

use std::time::{Duration, Instant};

use crate::connection::Rest;

/// The route that worked last is the first for so long.
pub(super) const FAVOUR: Duration = Duration::from_secs(600);

/// Who tries whether a route works again has so long to find out, and meanwhile others
/// take the next one.
pub(super) const PROBE: Duration = Duration::from_secs(20);

/// So many in a row, each within [`FAVOUR`] of the one before, are no accident.
pub(super) const IN_A_ROW: u8 = 3;

/// Of one route to one DC.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    /// It failed, and has not worked since.
    pub(super) rest: Option<Rest>,
    /// Since when somebody tries whether it works again.
    pub(super) probe: Option<Instant>,
    /// When a line of it had its first byte from the DC.
    pub(super) answered: Option<Instant>,
    pub(super) silent: InARow,
    pub(super) early: InARow,
    /// Times in a row that a question of ours was answered where a line was not.
    pub(super) cleared: u8,
    /// When a client was told last that it does not lead to this DC at all.
    pub(super) unknown: Option<Instant>,
}

/// Lines that failed in the same way, without one between that did not.
#[derive(Clone, Copy, Default)]
pub(super) struct InARow {
    count: u8,
    last: Option<Instant>,
}

impl InARow {
    /// One more; whether it is the last straw.
    pub(super) fn add(&mut self, now: Instant) -> bool {
        let goes_on = self.last.is_some_and(|last| now - last < FAVOUR);
        self.count = if goes_on { self.count } else { 0 }.saturating_add(1);
        self.last = Some(now);
        self.count >= IN_A_ROW
    }
}

/// What a change of the table changes for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A route rests now that did not.
    Rests(Rest),
    /// It works again.
    Back,
}

/// How a route stands for whoever comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known against it.
    Free,
    /// Its rest is over: somebody has to try.
    Due(Rest),
    /// Somebody does.
    Probed(Rest),
    Rests(Rest),
}

impl State {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        match (self.rest, self.probe) {
            (None, _) => Standing::Free,
            (Some(rest), _) if rest.is_on(now) => Standing::Rests(rest),
            (Some(rest), Some(begun)) if now - begun < PROBE => Standing::Probed(rest),
            (Some(rest), _) => Standing::Due(rest),
        }
    }

    /// See [`Table::may_be_doubted`](super::table::Table::may_be_doubted).
    pub(super) fn may_be_cleared(&self) -> bool {
        self.cleared < IN_A_ROW
    }

    pub(super) fn is_unknown(&self, now: Instant) -> bool {
        self.unknown.is_some_and(|since| now - since < FAVOUR)
    }

    pub(super) fn is_back(&mut self) -> Option<News> {
        self.probe = None;
        self.rest.take().map(|_| News::Back)
    }
}

impl Standing {
    /// Of two things that a route needs, the one that keeps clients from it for longer.
    pub(super) fn or_worse(self, other: Self) -> Self {
        let rank = |standing: &Self| match standing {
            Self::Free => (0, None),
            Self::Due(_) => (1, None),
            Self::Probed(_) => (2, None),
            Self::Rests(rest) => (3, Some(rest.until)),
        };
        match rank(&other) > rank(&self) {
            true => other,
            false => self,
        }
    }
}
