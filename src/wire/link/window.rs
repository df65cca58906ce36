//! The window of a stream, and what all streams of a side hold: plain numbers.
//!
//! Each byte that comes is in these counts of a [`Window`] in turn:
//!
//! | Count | Bytes that | Raised by | Lowered by |
//! |---|---|---|---|
//! | `granted` | the other side may still send | what `settle` and `reserve` give | `receive` |
//! | `held` | are here | `receive` | `settle`, when they have left; `reserve` |
//! | `owed` | have left, and are not yet worth a frame of credit | `settle` | the next frame |
//!
//! Together they are the window, first size and `grown`, and `reserved`: what is
//! to come of a packet that has buffers of its own, and takes nothing of the window.

use slab::Slab;

use crate::dc::DcId;

/// How the bytes of a stream are taken, which moves its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Quick,
    Steady,
    Slow,
}

/// Bytes of a stream's window on this side.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub first: u32,
    pub largest: u32,
}

/// More came than was granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Overrun;

/// One stream's bytes each way.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How many more we may send.
    credit: u32,
    granted: u32,
    held: u32,
    owed: u32,
    grown: u32,
    reserved: u32,
}

impl Window {
    /// With the other side's first window, and ours.
    pub fn new(credit: u32, sizes: Sizes) -> Self {
        Self {
            credit,
            granted: sizes.first,
            held: 0,
            owed: 0,
            grown: 0,
            reserved: 0,
        }
    }

    /// How many bytes the other side takes.
    pub fn credit(&self) -> usize {
        self.credit as usize
    }

    /// Bytes go out, no more than there is credit for.
    pub fn spend(&mut self, count: usize) {
        self.credit = self.credit.saturating_sub(count as u32);
    }

    /// The other side takes more; false if that is more than there can be.
    pub fn add_credit(&mut self, bytes: u32) -> bool {
        let sum = self.credit.checked_add(bytes);
        self.credit = sum.unwrap_or(self.credit);
        sum.is_some()
    }

    /// Bytes that are here, without those that have buffers of their own.
    pub fn held(&self) -> usize {
        self.held as usize
    }

    /// Bytes come: how many of them are held from now on.
    pub fn receive(&mut self, count: usize) -> Result<usize, Overrun> {
        let count = u32::try_from(count).map_err(|_| Overrun)?;
        self.granted = self.granted.checked_sub(count).ok_or(Overrun)?;
        let promised = count.min(self.reserved);
        self.reserved -= promised;
        self.held += count - promised;
        Ok((count - promised) as usize)
    }

    /// How long a packet may be, with its header, that comes without more credit
    /// whatever is owed.
    pub fn sure(&self, sizes: Sizes) -> usize {
        (sizes.first / 2 + self.grown) as usize
    }

    /// How many more the other side may send now.
    pub fn granted(&self) -> usize {
        self.granted as usize
    }

    /// Of these, how many have buffers of their own.
    pub fn reserved(&self) -> usize {
        self.reserved as usize
    }

    /// There are buffers for `have` bytes that are here, which are not held any
    /// more, and for the next `more`. The credit to send.
    pub fn reserve(&mut self, have: usize, more: usize) -> u32 {
        let have = (have as u32).min(self.held);
        let more = more as u32;
        self.held -= have;
        self.reserved += more;
        self.grant(have + more)
    }

    /// Bytes have left here. The credit to send, once that is worth a frame: more
    /// to one whose bytes are taken at once. 0: none yet.
    pub fn settle(&mut self, count: usize, pace: Pace, sizes: Sizes) -> u32 {
        let count = (count as u32).min(self.held);
        self.held -= count;
        self.owed += count;
        if self.owed < sizes.first / 2 {
            return 0;
        }
        match pace {
            Pace::Quick => {
                let room = sizes.largest.saturating_sub(sizes.first + self.grown);
                let more = room.min(self.owed);
                self.grown += more;
                self.grant(more)
            }
            Pace::Slow => {
                let less = self.grown.min(self.owed);
                self.grown -= less;
                self.owed -= less;
                self.grant(0)
            }
            Pace::Steady => self.grant(0),
        }
    }

    fn grant(&mut self, more: u32) -> u32 {
        let bytes = std::mem::take(&mut self.owed) + more;
        self.granted += bytes;
        bytes
    }
}

/// Of what a side has only so many.
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

/// Places of streams whose end one side has said and the other not yet, beyond
/// those of all streams: so many may be refused within a round trip.
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

    /// One more shares from now on.
    pub fn enter(&mut self) -> usize {
        self.users.insert(User::default())
    }

    /// One less does. It has nothing any more.
    pub fn leave(&mut self, user: usize) {
        if let Some(user) = self.users.try_remove(user) {
            self.held = self.held.saturating_sub(user.held);
        }
    }

    fn share(&self, limit: usize) -> usize {
        limit / self.users.len().max(1)
    }

    /// Bytes that all streams together may leave here.
    fn hold_limit(&self) -> usize {
        self.limits.buffers / 2
    }

    pub fn hold(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.held += count;
            self.held += count;
        }
    }

    pub fn unhold(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            let count = count.min(user.held);
            user.held -= count;
            self.held -= count;
        }
    }

    /// Received of this user and not gone on yet.
    pub fn held_by(&self, user: usize) -> usize {
        self.users.get(user).map_or(0, |user| user.held)
    }

    /// How much more may be held, which buffers should be left for.
    pub fn hold_room(&self) -> usize {
        self.hold_limit().saturating_sub(self.held)
    }

    /// Windows do not grow while so much is held.
    pub fn is_crowded(&self) -> bool {
        self.held > self.hold_limit() / 4
    }

    /// While too much is held: who holds most over its share. One of its streams
    /// has to go.
    pub fn heaviest(&self) -> Option<usize> {
        if self.held <= self.hold_limit() {
            return None;
        }
        let most = self.users.iter().max_by_key(|(_, user)| user.held);
        most.map(|(user, _)| user)
    }

    pub fn queue(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.queued += count;
        }
    }

    pub fn unqueue(&mut self, user: usize, count: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.queued = user.queued.saturating_sub(count);
        }
    }

    /// How many more bytes may wait for the credit of this user.
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
    pub fn admit(&self, user: usize, place: Scarce) -> Admission {
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

/// The packets of one link that get buffers of their own and are not here yet.
#[derive(Default)]
pub struct Coming(Vec<(DcId, usize)>);

impl Coming {
    /// Whether one more may come: the first always, others as long as all take no
    /// more than `limit`, and those to one DC two thirds of it: a DC that stops
    /// reading gets all that are under way.
    pub fn may_come(&self, to: DcId, len: usize, limit: usize) -> bool {
        let all: usize = self.0.iter().map(|(_, bytes)| bytes).sum();
        let there = self.0.iter().find(|(dc, _)| *dc == to);
        let there = there.map_or(0, |(_, bytes)| *bytes);
        let fits = |taken, limit| taken == 0 || taken + len <= limit;
        fits(all, limit) && fits(there, limit / 3 * 2)
    }

    pub fn comes(&mut self, to: DcId, len: usize) {
        match self.0.iter_mut().find(|(dc, _)| *dc == to) {
            Some((_, bytes)) => *bytes += len,
            None => self.0.push((to, len)),
        }
    }

    /// It is here, or does not come any more.
    pub fn has_come(&mut self, to: DcId, len: usize) {
        self.0.retain_mut(|(dc, bytes)| {
            if *dc == to {
                *bytes = bytes.saturating_sub(len);
            }
            *bytes > 0
        });
    }
}

#[cfg(test)]
mod tests;
