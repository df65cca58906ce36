//! Those who wait for room: in which order, and who of them is called.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::claim::State;
use super::giving::Short;
use super::parties::{Counts, Party};
use super::{Id, Room};

/// Users whose last turn is remembered.
pub(crate) const MAX_USERS: usize = 4096;

impl Room {
    /// Waits: its bytes are there, but no room.
    pub(crate) fn wait(&mut self, id: Id, now: Instant) {
        let claim = self.claims.get(&id);
        if claim.is_some_and(|claim| claim.state == State::Open) {
            self.enqueue(id, now);
        }
    }

    /// Calls those of the queue who have room now; each is to
    /// [`ask`](Self::ask) again.
    pub(crate) fn call(&mut self, free: usize, now: Instant) -> Vec<Id> {
        let available = self.available_to(false, free);
        let for_small = self.available_to(true, free);
        let may_go_on = |(to, least)| least <= self.left_for(to, 0).min(available);
        let goes_on = self.least_for.iter().any(may_go_on);
        let is_in_vain = available < self.least && !goes_on && !(self.has_small && for_small > 0);
        if self.queue.is_empty() || is_in_vain {
            return Vec::new();
        }
        let mut called = Vec::new();
        let (mut least, mut has_small) = (usize::MAX, false);
        let mut least_for = Counts::default();
        let mut giving = self.giving(free, now);
        for (key, id) in &self.queue {
            let Some(claim) = self.claims.get(id) else {
                continue;
            };
            match self.give(&mut giving, *id, claim) {
                Ok(()) => called.push((*key, *id)),
                Err(Short::There) => {
                    let least = match least_for.get(claim.to) {
                        0 => claim.rest,
                        least => least.min(claim.rest),
                    };
                    least_for.set(claim.to, least);
                }
                Err(Short::Everywhere(_)) if claim.is_small => has_small = true,
                Err(Short::Everywhere(wanted)) => least = least.min(wanted),
            }
        }
        for (key, id) in &called {
            self.queue.remove(key);
            self.turn = self.turn.max(key.0);
            if let Some(claim) = self.claims.get_mut(id) {
                claim.state = State::Called;
                self.called += claim.rest;
            }
        }
        (self.least, self.has_small, self.least_for) = (least, has_small, least_for);
        self.tidy();
        called.into_iter().map(|(_, id)| id).collect()
    }

    /// Those of `ids` who have room, all of them together: each may
    /// [`ask`](Self::ask) again. Nothing is kept for them.
    pub(crate) fn fitting<'a>(
        &self,
        ids: impl Iterator<Item = &'a Id>,
        free: usize,
        now: Instant,
    ) -> Vec<Id> {
        let mut giving = self.giving(free, now);
        let fits = |id: &&Id| {
            let claim = self.claims.get(id);
            claim.is_some_and(|claim| self.give(&mut giving, **id, claim).is_ok())
        };
        ids.filter(fits).copied().collect()
    }

    fn enqueue(&mut self, id: Id, now: Instant) {
        let Some(claim) = self.claims.get_mut(&id) else {
            return;
        };
        if claim.revoked.is_some() {
            return;
        }
        let first = self
            .queue
            .keys()
            .next()
            .map_or(self.turn, |(turn, _)| *turn);
        let turn = claim.turn.unwrap_or_else(|| match claim.held {
            0 => {
                let Party { user, has_finished } = claim.party;
                let party = (user.0, has_finished.into());
                let next = self.next_turns.get(&party).copied();
                let turn = next.map_or(first, |next| first.max(next));
                self.next_turns.insert(party, turn + claim.rest as u64);
                turn
            }
            _ => first,
        });
        claim.turn = Some(turn);
        let key = (turn, self.next_number);
        self.next_number += 1;
        claim.state = State::Waiting(key, now);
        self.least = self.least.min(claim.rest);
        self.has_small |= claim.is_small;
        self.queue.insert(key, id);
        self.waiting_since.get_or_insert(now);
        self.tidy();
    }

    pub(super) fn leave_queue(&mut self, id: Id, now: Instant) {
        if let Some(claim) = self.claims.get_mut(&id)
            && let State::Waiting(key, _) = claim.state
        {
            claim.state = State::Open;
            claim.go_on(now);
            self.queue.remove(&key);
        }
    }

    /// Nothing is remembered for longer than somebody waits.
    pub(super) fn tidy(&mut self) {
        if self.queue.is_empty() {
            self.waiting_since = None;
            self.next_turns = BTreeMap::new();
            self.last_turns = HashMap::new();
        } else if self.next_turns.len() > MAX_USERS {
            let passed = self
                .next_turns
                .iter()
                .filter(|(_, next)| **next <= self.turn);
            let passed: Vec<_> = passed.map(|(party, _)| *party).collect();
            for party in passed {
                self.next_turns.remove(&party);
            }
            if self.next_turns.len() > MAX_USERS / 2 {
                self.next_turns.clear();
            }
        }
    }
}
