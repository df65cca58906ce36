//! What all streams of a side hold together, and whose share of it is whose: plain
//! numbers.

use slab::Slab;

/// What a side has only a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarce {
    Link,
    Stream,
    /// A stream with a connection of its own, for which it needs a descriptor.
    Line,
}

const PLACES: usize = 3;

/// What all streams of a side may take together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the buffers, in bytes.
    pub buffers: usize,
    pub links: usize,
    pub streams: usize,
    pub lines: usize,
}

/// Whether there is a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Welcome,
    /// If this user, who has more than its share, gives up one.
    InsteadOf(usize),
    Full,
}

/// The part of all places that is kept free for those who have less than their
/// share.
const SPARE: usize = 8;

/// Numbers of streams whose end one side has said and the other not yet, beyond those of
/// all streams that there may be: so many may be refused within a round trip.
const LEAVING: usize = 4096;

/// All streams of a side, by who is at the other end: by front on a back. A share
/// is the same part of a limit for each that has a link.
pub struct Whole {
    limits: Limits,
    users: Slab<User>,
    held: usize,
}

#[derive(Default)]
struct User {
    /// Received and not gone on yet.
    held: usize,
    /// For this user, without credit to send it.
    queued: usize,
    /// Numbers in use, of streams that are over on one side too.
    numbers: usize,
    places: [usize; PLACES],
}

impl User {
    #[inline]
    fn count(&self, place: Scarce) -> usize {
        self.places.get(place as usize).map_or(0, |count| *count)
    }
}

impl Whole {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: Slab::new(),
            held: 0,
        }
    }

    /// From now on one more has a share. Returns its number.
    pub fn enter(&mut self) -> usize {
        self.users.insert(User::default())
    }

    /// From now on one less has a share. Nothing is held for it any more.
    pub fn leave(&mut self, user: usize) {
        if let Some(user) = self.users.try_remove(user) {
            self.held = self.held.saturating_sub(user.held);
        }
    }

    #[inline]
    fn share(&self, limit: usize) -> usize {
        limit / self.users.len().max(1)
    }

    /// Bytes that all streams together may leave here.
    #[inline]
    fn hold_limit(&self) -> usize {
        self.limits.buffers / 2
    }

    #[inline]
    pub fn hold(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.held += count;
            self.held += count;
        }
    }

    #[inline]
    pub fn unhold(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            let count = count.min(user.held);
            user.held -= count;
            self.held -= count;
        }
    }

    /// Received of this user and not gone on yet.
    #[inline]
    pub fn held_by(&self, user: usize) -> usize {
        self.users.get(user).map_or(0, |user| user.held)
    }

    /// How many more bytes may be held. Whoever plans with free buffers leaves these.
    #[inline]
    pub fn hold_room(&self) -> usize {
        self.hold_limit().saturating_sub(self.held)
    }

    /// Windows do not grow while so much is held.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.held > self.hold_limit() / 4
    }

    /// While too much is held in all: who holds most. One of its streams has to end.
    #[inline]
    pub fn heaviest(&self) -> Option<usize> {
        if self.held <= self.hold_limit() {
            return None;
        }
        let most = self.users.iter().max_by_key(|(_, user)| user.held);
        most.map(|(user, _)| user)
    }

    #[inline]
    pub fn queue(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.queued += count;
        }
    }

    #[inline]
    pub fn unqueue(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.queued = user.queued.saturating_sub(count);
        }
    }

    /// How many more bytes may wait for the credit of this user.
    #[inline]
    pub fn queue_room(&self, user: usize) -> usize {
        let queued = self.users.get(user).map_or(0, |user| user.queued);
        self.share(self.limits.buffers / 4 * 3)
            .saturating_sub(queued)
    }

    /// Bytes of large packets that may be under way on one link of this user.
    pub fn coming_limit(&self, user: usize) -> usize {
        let links = self.users.get(user);
        let links = links.map_or(0, |user| user.count(Scarce::Link));
        self.share(self.limits.buffers / 4 * 3) / links.max(1)
    }

    fn limit(&self, place: Scarce) -> usize {
        match place {
            Scarce::Link => self.limits.links,
            Scarce::Stream => self.limits.streams,
            Scarce::Line => self.limits.lines,
        }
    }

    /// Whether `user` gets one more: up to its share always, and beyond while
    /// some are free for others. Nobody has more than half for sure, so that one
    /// who comes later finds some.
    pub fn weigh(&self, user: usize, place: Scarce) -> Admission {
        let limit = self.limit(place);
        let count = |user: &User| user.count(place);
        let taken: usize = self.users.iter().map(|(_, user)| count(user)).sum();
        let own = self.users.get(user).map_or(0, count);
        let share = limit / self.users.len().max(2);
        if own >= share {
            return match taken + limit / SPARE < limit {
                true => Admission::Welcome,
                false => Admission::Full,
            };
        }
        if taken < limit {
            return Admission::Welcome;
        }
        let most = self.users.iter().max_by_key(|(_, user)| count(user));
        match most {
            Some((most, _)) if most != user => Admission::InsteadOf(most),
            _ => Admission::Full,
        }
    }

    pub fn take(&mut self, user: usize, place: Scarce) {
        let user = self.users.get_mut(user);
        if let Some(count) = user.and_then(|user| user.places.get_mut(place as usize)) {
            *count += 1;
        }
    }

    pub fn give_back(&mut self, user: usize, place: Scarce) {
        let user = self.users.get_mut(user);
        if let Some(count) = user.and_then(|user| user.places.get_mut(place as usize)) {
            *count = count.saturating_sub(1);
        }
    }

    /// One more number of a stream is in use; false if those that are over take
    /// so many that the other side cannot be saying their end.
    pub fn take_number(&mut self, user: usize) -> bool {
        let most = self.limits.streams + LEAVING;
        self.users.get_mut(user).is_some_and(|user| {
            user.numbers += 1;
            user.numbers <= most
        })
    }

    pub fn free_numbers(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.numbers = user.numbers.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests;
