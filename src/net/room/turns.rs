//! Who may begin a packet, so that others who are under way or have waited for long
//! find room.

use std::time::{Duration, Instant};

use super::claim::State;
use super::{Destination, Id, Room};

/// Who has waited so long gets a turn: for [`TURN`] nobody begins a packet that
/// would take its room, and then for [`REST`] there is no other turn.
const PATIENCE: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(400);
const REST: Duration = Duration::from_millis(800);

impl Room {
    /// Whether it may begin.
    pub(super) fn may_begin(&self, id: Id, rest: usize, available: usize, now: Instant) -> bool {
        let is_plenty = self.favourite.is_none() && rest + self.missing <= available;
        is_plenty || rest + self.kept_from(id, self.kept(now)) <= available
    }

    /// Chunks that are not for others to begin with: what those who are under way
    /// will soon want, and the favourite.
    pub(super) fn kept(&self, now: Instant) -> usize {
        let expected = self.claims.values().map(|claim| claim.expected(now));
        let favourite = self.favourite.and_then(|(id, _)| self.claims.get(&id));
        let favourite = favourite.filter(|claim| claim.state != State::Called);
        // For one that waits for others of its destination, nobody else has to.
        let favourite = favourite.filter(|claim| !self.is_held_up(claim));
        expected.sum::<usize>() + favourite.map_or(0, |claim| claim.rest)
    }

    /// The same of what packets to `to` may take together.
    pub(super) fn kept_there(&self, id: Id, to: Destination) -> usize {
        let favourite = self.favourite.filter(|(favourite, _)| *favourite != id);
        let favourite = favourite.and_then(|(id, _)| self.claims.get(&id));
        let favourite = favourite.filter(|one| one.to == to && one.state != State::Called);
        favourite.map_or(0, |claim| claim.rest)
    }

    pub(super) fn kept_from(&self, id: Id, kept: usize) -> usize {
        match self.favourite {
            Some((favourite, _)) if favourite == id => 0,
            _ => kept,
        }
    }

    pub(super) fn choose_favourite(&mut self, now: Instant) {
        if let Some((id, until)) = self.favourite {
            let claim = self.claims.get(&id).filter(|claim| claim.rest > 0);
            let is_busy = claim.is_some_and(|claim| !claim.is_late(now));
            if now < until && is_busy {
                return;
            }
            self.favourite = None;
            self.next_favourite = Some(now + REST);
            self.line_up_again(id, now);
        }
        if self.next_favourite.is_some_and(|next| now < next) {
            return;
        }
        let patient = self.queue.values().find(|id| {
            let claim = self.claims.get(*id);
            let waited = claim.and_then(|claim| claim.waited(now));
            waited.is_some_and(|waited| waited >= PATIENCE)
        });
        self.favourite = patient.map(|id| (*id, now + TURN));
    }

    /// It had its turn: others have theirs before it has another.
    fn line_up_again(&mut self, id: Id, now: Instant) {
        let claim = self.claims.get(&id);
        if claim.is_some_and(|claim| matches!(claim.state, State::Waiting(..))) {
            self.leave_queue(id, now);
            if let Some(claim) = self.claims.get_mut(&id) {
                claim.turn = None;
            }
            self.enqueue(id, now);
        }
    }
}
