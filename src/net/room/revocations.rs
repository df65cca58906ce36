//! Who has to give up what it holds.

use std::time::Instant;

use super::claim::{Claim, State};
use super::{Destination, Id, Room};
use crate::metrics::Revocation;

impl Room {
    /// Packets that come more slowly than allowed while others wait, which they have
    /// done since `since`.
    pub(super) fn overdue(&mut self, since: Instant, now: Instant) -> Vec<Id> {
        let mut found = Vec::new();
        for (id, claim) in &mut self.claims {
            if let Some(reason) = claim.overdue(since, now) {
                found.push((*id, reason));
            }
        }
        self.revoke(found)
    }

    /// Late packets that make room for somebody who has waited for long: as few as it
    /// takes, those first that waste most. For somebody held up by his destination,
    /// they are of that destination.
    pub(super) fn blocking(&mut self, free: usize, now: Instant) -> Vec<Id> {
        let mut found = self.blocking_at(None, free, now);
        let crowded: Vec<_> = self.least_for.iter().map(|(to, _)| to).collect();
        for to in crowded {
            let more = self.blocking_at(Some(to), free, now);
            found.extend(more);
        }
        found
    }

    fn blocking_at(&mut self, to: Option<Destination>, free: usize, now: Instant) -> Vec<Id> {
        let is_there = |claim: &Claim| to.is_none_or(|to| claim.to == to);
        let there = || self.claims.iter().filter(|(_, claim)| is_there(claim));
        let coming = there().filter(|(_, claim)| claim.revoked.is_some());
        let coming: usize = coming.map(|(_, claim)| claim.held).sum();
        let late = there().filter_map(|(id, claim)| {
            let waste = claim.waste(now)?;
            Some((waste, claim.held, *id))
        });
        let mut late: Vec<_> = late.collect();
        let most: usize = late.iter().map(|(_, held, _)| held).sum();
        let (mut wanted, mut missing) = (0, 0);
        for id in self.queue.values() {
            let claim = self.claims.get(id);
            let Some(claim) = claim.filter(|claim| is_there(claim) && claim.is_blocked(now)) else {
                continue;
            };
            let short = match to {
                None if self.is_held_up(claim) => continue,
                Some(_) if claim.is_small => continue,
                Some(_) if claim.held + claim.rest > self.share() => {
                    self.taken_for.get(claim.to) - claim.held
                }
                Some(_) => {
                    (wanted + claim.rest).saturating_sub(self.left_for(claim.to, claim.held))
                }
                None => {
                    let available = self.available_to(claim.is_small, free);
                    (wanted + claim.rest).saturating_sub(available)
                }
            };
            let short = short.saturating_sub(coming);
            if short > 0 && short <= most {
                wanted += claim.rest;
                missing = missing.max(short);
            }
        }
        late.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Vec::new();
        for (_, held, id) in late {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(held);
            found.push((id, Revocation::Blocking));
        }
        self.revoke(found)
    }

    fn revoke(&mut self, found: Vec<(Id, Revocation)>) -> Vec<Id> {
        for (id, reason) in &found {
            if let Some(claim) = self.claims.get_mut(id) {
                claim.revoked = Some(*reason);
                if let State::Waiting(key, _) = claim.state {
                    claim.state = State::Open;
                    self.queue.remove(&key);
                }
            }
        }
        self.tidy();
        found.into_iter().map(|(id, _)| id).collect()
    }
}
