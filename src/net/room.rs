//! Who may take buffers for a large packet, who waits for them, and who has to
//! give them up. Plain values: the time and what is free are told.
//!
//! A packet is announced as a *claim*. That costs nothing: chunks are taken as
//! its bytes come, and only while all the rest of it would fit into what is free.
//! So there is always a packet that can be read to its end, half-read ones never
//! wait for each other without end, and who announces much and sends little holds
//! no more than he has sent.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::buffer_pool::CHUNK_LEN;
use crate::metrics::Revocation;

/// Whose turn it is among those who wait: each gets the same, however many
/// packets it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct User(pub u64);

/// A packet's claim, never used twice.
pub(super) type Id = u64;

/// Bytes a second of a sender that nobody may call slow.
pub(super) const GOOD_PACE: u64 = 16 * 1024;

/// A sender is late when it is so far behind [`GOOD_PACE`].
pub(super) const LATE: Duration = Duration::from_millis(300);

/// How much earlier than at that pace bytes count at most: what came at once does
/// not excuse a long silence.
const AHEAD: Duration = Duration::from_millis(200);

/// Who has waited so long makes late ones go.
pub(super) const BLOCKED: Duration = Duration::from_millis(250);

/// Bytes of a packet that has not begun that make it wait.
const FIRST_BYTES: usize = 16 * 1024;

/// What a sender brought in one or the other of these times, twice as much is
/// kept for it by those who would begin another packet.
const STRIDE: Duration = Duration::from_millis(100);

/// Who has waited so long gets a turn: for [`TURN`] nobody begins a packet that
/// would take its room, and then for [`REST`] there is no other turn.
const PATIENCE: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(400);
const REST: Duration = Duration::from_millis(800);

/// While others wait, so many bytes in each such time, and all within
/// [`LONGEST`].
pub(super) const WINDOW: Duration = Duration::from_secs(30);
pub(super) const WINDOW_BYTES: usize = 30 * 4096;
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// Users whose last turn is remembered.
const MOST_USERS: usize = 4096;

pub(super) struct Room {
    /// Chunks that claims may hold together.
    capacity: usize,
    /// Chunks that are set aside, or filled and not free again, whether or not
    /// their packet is complete.
    taken: usize,
    /// Chunks for those who have been called and have not come yet.
    called: usize,
    /// Chunks that those who have some have to come.
    missing: usize,
    claims: BTreeMap<Id, Claim>,
    next_id: Id,
    queue: BTreeMap<Place, Id>,
    next_number: u64,
    /// The last one of those called from the queue.
    turn: u64,
    /// Behind what each user has queued, in chunks.
    next_turns: HashMap<Flow, u64>,
    /// With less free, a look into the queue is in vain.
    least: usize,
    favourite: Option<(Id, Instant)>,
    next_favourite: Option<Instant>,
    waiting_since: Option<Instant>,
}

/// A user's packets; those of senders who have finished one before are served
/// as if they were another's.
type Flow = (User, bool);

struct Claim {
    flow: Flow,
    /// Chunks to come.
    rest: usize,
    /// Chunks that it has, filled or set aside.
    held: usize,
    /// Chunks of these that are set aside.
    aside: usize,
    announced: Instant,
    /// When it should send again, at [`GOOD_PACE`].
    due: Instant,
    /// Before that it can have sent nothing that would be here.
    away: Instant,
    window: Window,
    stride: Stride,
    /// Its place among those who wait, once it has waited.
    turn: Option<u64>,
    state: State,
    revoked: Option<Revocation>,
}

/// What a packet brought lately, in bytes.
#[derive(Clone, Copy)]
struct Stride {
    since: Instant,
    last: usize,
    this: usize,
}

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is for its sender to go on.
    Open,
    Waiting(Place, Instant),
    /// There is room for it, which it has not looked for yet.
    Called,
}

/// Where a chunk came from.
pub(super) enum Taken {
    Fresh,
    Aside,
}

/// Everybody by his user's turn, in chunks that the user has had or waits for
/// before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    turn: u64,
    number: u64,
}

/// What there is to do after a [`look`](Room::look).
#[derive(Default)]
pub(super) struct Outcome {
    pub called: Vec<Id>,
    pub revoked: Vec<Id>,
}

/// Chunks and claims now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub taken: usize,
    pub holders: usize,
    pub waiters: usize,
}

impl Room {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            taken: 0,
            called: 0,
            missing: 0,
            claims: BTreeMap::new(),
            next_id: 0,
            queue: BTreeMap::new(),
            next_number: 0,
            turn: 0,
            next_turns: HashMap::new(),
            least: 0,
            favourite: None,
            next_favourite: None,
            waiting_since: None,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Somebody waits.
    pub fn is_short(&self) -> bool {
        !self.queue.is_empty()
    }

    pub fn tally(&self) -> Tally {
        let claims = self.claims.values();
        Tally {
            taken: self.taken,
            holders: claims.clone().filter(|claim| claim.held > 0).count(),
            waiters: claims.filter(|claim| claim.state != State::Open).count(),
        }
    }

    /// Announces a packet; `None` if it never has room.
    pub fn claim(&mut self, user: User, chunks: usize, now: Instant) -> Option<Id> {
        if chunks > self.capacity {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        let claim = Claim {
            flow: (user, false),
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
            state: State::Open,
            revoked: None,
        };
        self.claims.insert(id, claim);
        Some(id)
    }

    /// Its sender has finished a packet before.
    pub fn vouch(&mut self, id: Id) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.flow.1 = true;
        }
    }

    /// Bytes of it that are to be there before it may wait, or all of its rest:
    /// with less, it is its sender who is waited for.
    pub fn worth_waiting(&self, id: Id) -> usize {
        match self.claims.get(&id) {
            Some(claim) if claim.held > 0 => CHUNK_LEN,
            _ => FIRST_BYTES,
        }
    }

    /// Chunks that whoever is not called can have, with `free` in the pool.
    pub fn available(&self, free: usize) -> usize {
        let own = self.capacity.saturating_sub(self.taken);
        free.min(own).saturating_sub(self.called)
    }

    /// Whether its bytes may be read and taken over, at once.
    pub fn ask(&mut self, id: Id, free: usize, now: Instant) -> bool {
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
        let (rest, is_new) = (claim.rest, claim.held == 0);
        let available = self.available(free);
        if rest > available {
            return false;
        }
        if is_new && !self.may_begin(id, rest, available, now) {
            return false;
        }
        self.leave_queue(id, now);
        self.tidy();
        if let Some(claim) = self.claims.get_mut(&id).filter(|_| is_new) {
            claim.go_on(now);
        }
        true
    }

    /// Waits: its bytes are there, but no room.
    pub fn wait(&mut self, id: Id, now: Instant) {
        let claim = self.claims.get(&id);
        if claim.is_some_and(|claim| claim.state == State::Open) {
            self.enqueue(id, now);
        }
    }

    /// A chunk for it, whatever else is short; `None` if it has all that it
    /// announced.
    pub fn take(&mut self, id: Id) -> Option<Taken> {
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
    pub fn set_aside(&mut self, id: Id, chunks: usize) -> usize {
        let Some(claim) = self.claims.get_mut(&id) else {
            return 0;
        };
        let count = chunks.min(claim.rest);
        claim.aside += count;
        self.hold(id, count);
        count
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
    }

    /// Its sender is so far away that nothing comes before `at`.
    pub fn is_away(&mut self, id: Id, at: Instant) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.away = claim.away.max(at);
        }
    }

    /// So many bytes of it have come.
    pub fn received(&mut self, id: Id, bytes: usize, now: Instant) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.received(bytes, now);
        }
    }

    /// It is complete or given up; how many chunks were set aside for it. Those
    /// that are filled stay taken until they are [`freed`](Self::freed).
    pub fn close(&mut self, id: Id, now: Instant) -> usize {
        self.leave_queue(id, now);
        self.tidy();
        let Some(claim) = self.claims.remove(&id) else {
            return 0;
        };
        if claim.state == State::Called {
            self.called -= claim.rest;
        }
        self.missing -= claim.missing();
        self.taken -= claim.aside;
        claim.aside
    }

    /// A filled chunk is free again.
    pub fn freed(&mut self) {
        self.taken -= 1;
    }

    pub fn revoked(&self, id: Id) -> Option<Revocation> {
        self.claims.get(&id)?.revoked
    }

    /// Calls those of the queue who have room now; each is to
    /// [`ask`](Self::ask) again.
    pub fn call(&mut self, free: usize, now: Instant) -> Vec<Id> {
        let mut available = self.available(free);
        if self.queue.is_empty() || available < self.least {
            return Vec::new();
        }
        let mut called = Vec::new();
        let mut least = usize::MAX;
        let kept = self.kept(now);
        for (place, id) in &self.queue {
            let Some(claim) = self.claims.get(id) else {
                continue;
            };
            let wanted = match claim.held {
                0 => claim.rest + self.kept_from(*id, kept),
                _ => claim.rest,
            };
            if wanted > available {
                least = least.min(wanted);
                continue;
            }
            available -= claim.rest;
            called.push((*place, *id));
        }
        for (place, id) in &called {
            self.queue.remove(place);
            self.turn = self.turn.max(place.turn);
            if let Some(claim) = self.claims.get_mut(id) {
                claim.state = State::Called;
                self.called += claim.rest;
            }
        }
        self.least = least;
        self.tidy();
        called.into_iter().map(|(_, id)| id).collect()
    }

    /// What the time brings. To be called every 50 ms or so while it
    /// [`is_short`](Self::is_short).
    pub fn look(&mut self, free: usize, now: Instant) -> Outcome {
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

    /// Whether it may begin.
    fn may_begin(&self, id: Id, rest: usize, available: usize, now: Instant) -> bool {
        let is_plenty = self.favourite.is_none() && rest + self.missing <= available;
        is_plenty || rest + self.kept_from(id, self.kept(now)) <= available
    }

    /// Chunks that are not for others to begin with: what those who are under way
    /// will soon want, and the favourite.
    fn kept(&self, now: Instant) -> usize {
        let expected = self.claims.values().map(|claim| claim.expected(now));
        let favourite = self.favourite.and_then(|(id, _)| self.claims.get(&id));
        let favourite = favourite.filter(|claim| claim.state != State::Called);
        expected.sum::<usize>() + favourite.map_or(0, |claim| claim.rest)
    }

    fn kept_from(&self, id: Id, kept: usize) -> usize {
        match self.favourite {
            Some((favourite, _)) if favourite == id => 0,
            _ => kept,
        }
    }

    fn choose_favourite(&mut self, now: Instant) {
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
            let waited = self.claims.get(*id).and_then(|claim| claim.waited(now));
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
            .map_or(self.turn, |place| place.turn);
        let turn = claim.turn.unwrap_or_else(|| match claim.held {
            0 => {
                let next = self.next_turns.entry(claim.flow).or_insert(first);
                let turn = first.max(*next);
                *next = turn + claim.rest as u64;
                turn
            }
            _ => first,
        });
        claim.turn = Some(turn);
        let place = Place {
            turn,
            number: self.next_number,
        };
        self.next_number += 1;
        claim.state = State::Waiting(place, now);
        self.least = self.least.min(claim.rest);
        self.queue.insert(place, id);
        self.waiting_since.get_or_insert(now);
        self.tidy();
    }

    fn leave_queue(&mut self, id: Id, now: Instant) {
        if let Some(claim) = self.claims.get_mut(&id)
            && let State::Waiting(place, _) = claim.state
        {
            claim.state = State::Open;
            claim.go_on(now);
            self.queue.remove(&place);
        }
    }

    /// Nothing is remembered for longer than somebody waits.
    fn tidy(&mut self) {
        if self.queue.is_empty() {
            self.waiting_since = None;
            self.next_turns = HashMap::new();
        } else if self.next_turns.len() > MOST_USERS {
            let turn = self.turn;
            self.next_turns.retain(|_, next| *next > turn);
            if self.next_turns.len() > MOST_USERS / 2 {
                self.next_turns.clear();
            }
        }
    }

    /// Those that are slower than a packet may be while others wait, and they do
    /// since `since`.
    fn overdue(&mut self, since: Instant, now: Instant) -> Vec<Id> {
        let mut found = Vec::new();
        for (id, claim) in &mut self.claims {
            if let Some(reason) = claim.overdue(since, now) {
                found.push((*id, reason));
            }
        }
        self.revoke(found)
    }

    /// Those in whose place somebody could go on who has waited for long: as few
    /// as it takes, who waste most first.
    fn blocking(&mut self, free: usize, now: Instant) -> Vec<Id> {
        let coming = self.claims.values().filter(|claim| claim.revoked.is_some());
        let coming: usize = coming.map(|claim| claim.held).sum();
        let available = self.available(free) + coming;
        let late = self.claims.iter().filter_map(|(id, claim)| {
            let waste = claim.waste(now)?;
            Some((waste, claim.held, *id))
        });
        let mut late: Vec<_> = late.collect();
        let most: usize = late.iter().map(|(_, held, _)| held).sum();
        let mut missing = 0;
        for id in self.queue.values() {
            let claim = self.claims.get(id);
            let Some(claim) = claim.filter(|claim| claim.is_blocked(now)) else {
                continue;
            };
            let wanted = missing + claim.rest;
            if wanted > available && wanted - available <= most {
                missing = wanted;
            }
        }
        let mut missing = missing.saturating_sub(available);
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
                if let State::Waiting(place, _) = claim.state {
                    claim.state = State::Open;
                    self.queue.remove(&place);
                }
            }
        }
        self.tidy();
        found.into_iter().map(|(id, _)| id).collect()
    }
}

impl Claim {
    /// It had to wait, or begins: its sender's time runs from here.
    fn go_on(&mut self, now: Instant) {
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

    fn missing(&self) -> usize {
        match self.held {
            0 => 0,
            _ => self.rest,
        }
    }

    fn expected(&self, now: Instant) -> usize {
        let Stride { since, last, this } = self.stride;
        if self.held == 0 || self.state != State::Open || now >= since + 2 * STRIDE {
            return 0;
        }
        self.rest.min(2 * last.max(this) / CHUNK_LEN)
    }

    fn received(&mut self, bytes: usize, now: Instant) {
        let earned = Duration::from_micros(bytes as u64 * 1_000_000 / GOOD_PACE);
        let from = now.checked_sub(LATE).map_or(now, |at| at.max(self.due));
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

    fn waited(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Waiting(_, since) => Some(now.saturating_duration_since(since)),
            State::Open | State::Called => None,
        }
    }

    fn is_blocked(&self, now: Instant) -> bool {
        self.waited(now).is_some_and(|waited| waited >= BLOCKED)
    }

    fn behind(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.due.max(self.away))
    }

    fn is_late(&self, now: Instant) -> bool {
        self.state == State::Open && self.behind(now) >= LATE
    }

    /// Chunks times milliseconds that it wastes; `None` if it does not.
    fn waste(&self, now: Instant) -> Option<u64> {
        let counts = self.held > 0 && self.revoked.is_none() && self.is_late(now);
        let behind = self.behind(now).as_millis();
        counts.then(|| self.held as u64 * u64::try_from(behind).unwrap_or(u64::MAX / 1024))
    }

    fn overdue(&mut self, since: Instant, now: Instant) -> Option<Revocation> {
        if self.revoked.is_some() {
            return None;
        }
        if now.saturating_duration_since(self.announced) >= LONGEST {
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

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
