//! Who may begin a packet, so that others who are under way or have waited for long
//! find room.

use std::time::{Duration, Instant};

use super::claim::{Claim, State};
use super::parties::{Destination, Party};
use super::queue::MAX_USERS;
use super::{Id, Room};

/// Who has waited so long gets a turn: for [`TURN`] nobody begins a packet that
/// would take its room, and then for [`REST`] there is no other turn.
const PATIENCE: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(400);
const REST: Duration = Duration::from_millis(800);

/// Those who hold the room may be slow without being at fault. So the turn of a sender
/// that has finished a packet before lasts, until it can begin, as long as it has
/// waited, and at most this. The pause after it is as long, so that others have half of
/// the time even if turns are in vain.
const MAX_TURN: Duration = Duration::from_secs(15);

/// The turn of one that has waited for long.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    id: Id,
    party: Party,
    since: Instant,
    until: Instant,
    /// It has not begun yet.
    is_new: bool,
}

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
        let favourite = self.favourite.and_then(|turn| self.claims.get(&turn.id));
        let favourite = favourite.filter(|claim| claim.state != State::Called);
        // For one that waits for others of its destination, nobody else has to.
        let favourite = favourite.filter(|claim| !self.is_held_up(claim));
        expected.sum::<usize>() + favourite.map_or(0, |claim| claim.rest)
    }

    /// The same of what packets to `to` may take together.
    pub(super) fn kept_there(&self, id: Id, to: Destination) -> usize {
        let favourite = self.favourite.filter(|turn| turn.id != id);
        let favourite = favourite.and_then(|turn| self.claims.get(&turn.id));
        let favourite = favourite.filter(|one| one.to == to && one.state != State::Called);
        favourite.map_or(0, |claim| claim.rest)
    }

    pub(super) fn kept_from(&self, id: Id, kept: usize) -> usize {
        match self.favourite {
            Some(turn) if turn.id == id => 0,
            _ => kept,
        }
    }

    pub(super) fn choose_favourite(&mut self, now: Instant) {
        if let Some(turn) = self.favourite {
            let claim = self.claims.get(&turn.id).filter(|claim| claim.rest > 0);
            let has_begun = claim.is_some_and(|claim| claim.held > 0);
            if turn.is_new && has_begun {
                self.favourite = Some(Turn {
                    until: now + TURN,
                    is_new: false,
                    ..turn
                });
                return;
            }
            let is_busy = claim.is_some_and(|claim| !claim.is_late(now));
            if now < turn.until && is_busy {
                return;
            }
            self.end_turn(turn, now);
        }
        if self.next_favourite.is_some_and(|next| now < next) {
            return;
        }
        let patient = self.queue.values().filter_map(|id| {
            let claim = self.claims.get(id)?;
            let is_patient = claim.waited(now)? >= PATIENCE;
            is_patient.then_some((self.has_waited_since(claim)?, *id, claim))
        });
        let first = patient.min_by_key(|(since, ..)| *since);
        self.favourite = first.map(|((since, _), id, claim)| {
            let is_new = claim.held == 0;
            let length = match is_new && claim.party.has_finished {
                true => now.saturating_duration_since(since).min(MAX_TURN),
                false => TURN,
            };
            Turn {
                id,
                party: claim.party,
                since: now,
                until: now + length.max(TURN),
                is_new,
            }
        });
    }

    /// Since when it waits for a turn. Flows have theirs one after another: it counts
    /// from the last one of its party. Within its party, from its own last one.
    fn has_waited_since(&self, claim: &Claim) -> Option<(Instant, Instant)> {
        let State::Waiting(_, since) = claim.state else {
            return None;
        };
        let own = claim.last_turn.unwrap_or(since);
        let of_flow = self.last_turns.get(&claim.party);
        Some((of_flow.map_or(own, |last| own.max(*last)), own))
    }

    fn end_turn(&mut self, turn: Turn, now: Instant) {
        let length = now.saturating_duration_since(turn.since);
        self.favourite = None;
        self.next_favourite = Some(now + REST.max(length));
        if let Some(claim) = self.claims.get_mut(&turn.id) {
            claim.last_turn = Some(now);
        }
        if self.queue.is_empty() {
            return;
        }
        if self.last_turns.len() >= MAX_USERS {
            self.last_turns.clear();
        }
        self.last_turns.insert(turn.party, now);
    }
}
