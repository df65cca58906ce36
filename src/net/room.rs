//! Who may take buffers for a large packet, who waits for them, and who has to
//! give them up. Plain values: the time and what is free are told.
//!
//! A packet is announced as a *claim*. That costs nothing: chunks are taken as its
//! bytes come, and only while all that is still to come would fit into what is free. So
//! there is always a packet that can be read to its end, and half-read packets never
//! block each other. Who announces much and sends little holds no more than what was
//! sent.
//!
//! | File | What |
//! |---|---|
//! | `claim.rs` | one large packet: what it holds, and how it comes |
//! | `giving.rs` | what is free, given to one after another |
//! | `parties.rs` | whose packets there are, and where they go |
//! | `queue.rs` | who waits, in which order, and who is called |
//! | `revocations.rs` | who has to give up what it holds |
//! | `turns.rs` | who may begin a packet while others wait |

mod claim;
mod giving;
mod parties;
mod queue;
mod revocations;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

pub(super) use self::claim::LOOK_EVERY;
use self::claim::{Claim, QueueKey, State};
use self::parties::{Counts, Party};
pub(crate) use self::parties::{Destination, User};
use self::turns::Turn;
use crate::metrics::Revocation;

/// One part in so many of all room is kept for packets to other destinations, as soon
/// as there are two packets to the same one.
const ELSEWHERE: usize = 4;

/// With room for fewer chunks nothing is kept for other destinations: it would be too
/// small for a large packet.
const ROOM_FOR_PARTS: usize = 1024;

/// A packet's claim, never used twice.
pub(super) type Id = u64;

pub(super) struct Room {
    /// Chunks that claims may hold together.
    capacity: usize,
    /// Chunks beyond these for claims of one chunk.
    extra: usize,
    /// Chunks that are set aside, or filled and not free again, whether or not
    /// their packet is complete.
    taken: usize,
    /// The same by destination.
    taken_for: Counts,
    /// Chunks for those who have been called and have not come yet.
    called: usize,
    /// Chunks that are to come of packets that have some.
    missing: usize,
    claims: BTreeMap<Id, Claim>,
    next_id: Id,
    /// Those who wait. The same type as that of `guard::fair_queue`'s: code for one.
    queue: BTreeMap<QueueKey, Id>,
    next_number: u64,
    /// The furthest one of those called from the queue.
    turn: u64,
    /// Behind what each user has queued, in chunks. The same type as that of the queue.
    next_turns: BTreeMap<(u64, u64), u64>,
    /// The fewest chunks that anybody in the queue can use: with fewer free, only a
    /// small packet can be called.
    least: usize,
    has_small: bool,
    /// The same for those who wait for others of their destination.
    least_for: Counts,
    /// Who has the turn of those who have waited for long.
    favourite: Option<Turn>,
    /// No other such turn before.
    next_favourite: Option<Instant>,
    /// When the last one of each party ended.
    last_turns: HashMap<Party, Instant>,
    /// Since when the queue is not empty.
    waiting_since: Option<Instant>,
}

/// Where a chunk came from.
pub(super) enum Taken {
    Fresh,
    Aside,
}

/// What there is to do after a [`look`](Room::look).
#[derive(Default)]
pub(super) struct Outcome {
    pub(crate) called: Vec<Id>,
    pub(crate) revoked: Vec<Id>,
}

/// Chunks and claims now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(crate) taken: usize,
    pub(crate) holders: usize,
    pub(crate) waiters: usize,
}

impl Room {
    pub(crate) fn new(capacity: usize, extra: usize) -> Self {
        Self {
            capacity,
            extra,
            taken: 0,
            taken_for: Counts::default(),
            called: 0,
            missing: 0,
            claims: BTreeMap::new(),
            next_id: 0,
            queue: BTreeMap::new(),
            next_number: 0,
            turn: 0,
            next_turns: BTreeMap::new(),
            least: 0,
            has_small: false,
            least_for: Counts::default(),
            favourite: None,
            next_favourite: None,
            last_turns: HashMap::new(),
            waiting_since: None,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Somebody waits.
    pub(crate) fn is_short(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn tally(&self) -> Tally {
        let claims = self.claims.values();
        Tally {
            taken: self.taken,
            holders: claims.clone().filter(|claim| claim.held > 0).count(),
            waiters: claims.filter(|claim| claim.state != State::Open).count(),
        }
    }

    /// Announces a packet; `None` if it never has room.
    pub(crate) fn claim(
        &mut self,
        user: User,
        to: Destination,
        chunks: usize,
        now: Instant,
    ) -> Option<Id> {
        if chunks > self.capacity {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        let claim = Claim::new(user, to, chunks, now);
        self.claims.insert(id, claim);
        Some(id)
    }

    /// Its sender has finished a packet before.
    pub(crate) fn vouch(&mut self, id: Id) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.party.has_finished = true;
        }
    }

    /// Bytes of it that are to be there before it may wait.
    pub(crate) fn worth_waiting(&self, id: Id) -> usize {
        self.claims.get(&id).map_or(0, Claim::worth_waiting)
    }

    /// Chunks that a new packet to `to` can have, with `free` in the pool: those of
    /// packets that were called are not counted.
    pub(crate) fn available(&self, to: Destination, free: usize) -> usize {
        self.available_to(false, free).min(self.left_for(to, 0))
    }

    fn available_to(&self, is_small: bool, free: usize) -> usize {
        let most = match is_small {
            true => self.capacity + self.extra,
            false => self.capacity,
        };
        let own = most.saturating_sub(self.taken);
        free.min(own).saturating_sub(self.called)
    }

    /// Chunks that packets to `to` may still take together. The packet that asks holds
    /// `own` of those that are taken: if it is the only one, it may take all.
    fn left_for(&self, to: Destination, own: usize) -> usize {
        let taken = self.taken_for.get(to);
        match taken <= own || self.capacity < ROOM_FOR_PARTS {
            true => usize::MAX,
            false => self.share().saturating_sub(taken),
        }
    }

    /// Chunks that packets to one destination take at most.
    fn share(&self) -> usize {
        self.capacity - self.capacity / ELSEWHERE
    }

    /// However much is free, it has to wait for other packets to its destination.
    fn is_held_up(&self, claim: &Claim) -> bool {
        !claim.is_small && claim.rest > self.left_for(claim.to, claim.held)
    }

    /// Whether its bytes may be read and taken over, at once.
    pub(crate) fn ask(&mut self, id: Id, free: usize, now: Instant) -> bool {
        let Some(claim) = self.claims.get_mut(&id) else {
            return false;
        };
        if claim.rest == 0 {
            return true;
        }
        if claim.state == State::Called {
            claim.state = State::Open;
            claim.go_on(now);
            self.called -= claim.rest;
        }
        let (rest, is_new, is_small) = (claim.rest, claim.held == 0, claim.is_small);
        let to = claim.to;
        let available = self.available_to(is_small, free);
        let is_held_up = self.claims.get(&id).is_some_and(|one| self.is_held_up(one));
        if rest > available || is_held_up {
            return false;
        }
        if is_new && !is_small && !self.may_begin(id, rest, available, now) {
            return false;
        }
        if is_new && !is_small && rest + self.kept_there(id, to) > self.left_for(to, 0) {
            return false;
        }
        self.leave_queue(id, now);
        self.tidy();
        if let Some(claim) = self.claims.get_mut(&id).filter(|_| is_new) {
            claim.go_on(now);
        }
        true
    }

    /// A chunk for it, whatever else is short; `None` if it has all that it
    /// announced.
    pub(crate) fn take(&mut self, id: Id) -> Option<Taken> {
        let claim = self.claims.get_mut(&id)?;
        if let Some(aside) = claim.aside.checked_sub(1) {
            claim.aside = aside;
            return Some(Taken::Aside);
        }
        claim.rest.checked_sub(1)?;
        self.hold(id, 1);
        Some(Taken::Fresh)
    }

    /// Sets so many chunks of its rest aside, or all; how many.
    pub(crate) fn set_aside(&mut self, id: Id, chunks: usize) -> usize {
        let Some(claim) = self.claims.get_mut(&id) else {
            return 0;
        };
        let count = chunks.min(claim.rest);
        claim.aside += count;
        self.hold(id, count);
        count
    }

    /// Its sender is so far away that nothing comes before `at`.
    pub(crate) fn is_away(&mut self, id: Id, at: Instant) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.away = claim.away.max(at);
        }
    }

    fn hold(&mut self, id: Id, count: usize) {
        let Some(claim) = self.claims.get_mut(&id) else {
            return;
        };
        if claim.state == State::Called {
            self.called -= count;
        }
        self.missing -= claim.missing();
        claim.rest -= count;
        claim.held += count;
        self.missing += claim.missing();
        self.taken += count;
        let to = claim.to;
        self.taken_for.set(to, self.taken_for.get(to) + count);
    }

    fn let_go(&mut self, to: Destination, count: usize) {
        self.taken -= count;
        self.taken_for.set(to, self.taken_for.get(to) - count);
    }

    /// So many bytes of it have come.
    pub(crate) fn received(&mut self, id: Id, bytes: usize, now: Instant) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.received(bytes, now);
        }
    }

    /// It is complete or given up; how many chunks were set aside for it. Those
    /// that are filled stay taken until they are [`freed`](Self::freed).
    pub(crate) fn close(&mut self, id: Id, now: Instant) -> usize {
        self.leave_queue(id, now);
        self.tidy();
        let Some(claim) = self.claims.remove(&id) else {
            return 0;
        };
        if claim.state == State::Called {
            self.called -= claim.rest;
        }
        self.missing -= claim.missing();
        self.let_go(claim.to, claim.aside);
        claim.aside
    }

    /// A chunk filled for `to` is free again.
    pub(crate) fn freed(&mut self, to: Destination) {
        self.let_go(to, 1);
    }

    pub(crate) fn revoked(&self, id: Id) -> Option<Revocation> {
        self.claims.get(&id)?.revoked
    }

    /// What the time brings. To be called [that often](LOOK_EVERY) while it
    /// [`is_short`](Self::is_short).
    pub(crate) fn look(&mut self, free: usize, now: Instant) -> Outcome {
        if self.queue.is_empty() {
            return Outcome::default();
        }
        let since = *self.waiting_since.get_or_insert(now);
        let mut revoked = self.overdue(since, now);
        self.choose_favourite(now);
        self.least = 0;
        let called = self.call(free, now);
        revoked.extend(self.blocking(free, now));
        Outcome { called, revoked }
    }
}

#[cfg(test)]
mod tests;
