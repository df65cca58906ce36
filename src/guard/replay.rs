//! Handshakes that have come, so that none is taken twice.

mod generation;
mod journal;
mod saved;
mod shares;
mod store;
mod uptimes;

use std::hash::{BuildHasher, RandomState};

use smol_mtproxy_ciphers::hmac_sha256;

pub(crate) use journal::{Batch, WriteAs};
pub(crate) use saved::Left;
pub(crate) use shares::Shares;
pub(crate) use uptimes::{Uptime, Uptimes};

use generation::Generation;
use store::Store;

/// The time in an entry: 16 bits, in units of so many seconds; after 73 hours it
/// begins again.
const TIME_MASK: u64 = 0xffff;
const UNIT: u64 = 4;

/// The longest that an entry may count, in seconds: half of that.
const MAX_AGE: u32 = 1 << 17;

/// A generation has room for this part of as many entries as there may be, or half of
/// those that there are if that is less.
const PART_OF_ALL: usize = 8;

/// Remembers handshakes, so that a recorded one is noticed when it comes again
/// (`doc/protocol.md` §7): the latest ones, as many as it was made for.
///
/// They are in generations, each a hash table. One that is full stays as it is and
/// another is begun, half as large as all that there is; the oldest goes as a whole
/// once the others have enough, or when all in it is too old. So the memory grows
/// and shrinks with the handshakes (8 bytes each at three quarters full, a half more
/// for what comes next), and no handshake waits for more than a page of it.
///
/// An entry is 48 bits of a hash and the time in 16 bits. The hash is keyed at
/// random, so that nobody outside can choose ids that look like others or crowd one
/// place.
pub(crate) struct ReplayMemory {
    key: [u8; 32],
    store: Store,
    wanted: usize,
    max_age: u32,
    /// What our clock is ahead of the caller's, in seconds.
    ahead: u64,
}

impl ReplayMemory {
    /// Room for the latest `entries` ids, at least 1, each forgotten some `max_age`
    /// seconds (at most 36 hours) after it was last seen, up to 8 later.
    pub(crate) fn new(entries: usize, max_age: u32) -> Self {
        Self {
            key: random_key(),
            store: Store::default(),
            wanted: entries,
            max_age: max_age.min(MAX_AGE),
            ahead: 0,
        }
    }

    /// Room for another number; what is remembered stays as far as it fits.
    pub(crate) fn resize(&mut self, entries: usize) {
        self.wanted = entries;
        self.forget_surplus();
    }

    /// Remembers `id` (48 bytes of an obfuscated header or the 32-byte random
    /// of a ClientHello) seen at `now` (seconds of any clock that does not go
    /// back); `false` if it was there already.
    pub(crate) fn remember(&mut self, id: &[u8], now: u64) -> bool {
        let second = self.second(now);
        self.forget_oldest_if_old(second);
        let entry = self.fingerprint(id) | unit(second);
        let max_units = u64::from(self.max_age).div_ceil(UNIT);
        let mut is_latest = true;
        // The latest first: an id that came again after its time is in two.
        for generation in self.store.generations.iter_mut().rev() {
            if let Some(known) = generation.find(entry, !TIME_MASK) {
                let age = entry.wrapping_sub(*known) & TIME_MASK;
                let is_new = age > max_units;
                if is_new && !is_latest {
                    break;
                }
                let before = std::mem::replace(known, entry);
                generation.last_seen = second;
                if let Some(journal) = &mut self.store.journal
                    && generation.is_kept
                {
                    let has_room = match is_new {
                        true => journal.add(entry),
                        false => journal.add_again(before, entry),
                    };
                    generation.is_kept = has_room;
                }
                return is_new;
            }
            is_latest = false;
        }
        self.add(entry, second);
        true
    }

    fn add(&mut self, entry: u64, second: u64) {
        let most = self.wanted.div_ceil(PART_OF_ALL).max(1);
        self.store.add(entry, second, most);
        self.forget_surplus();
    }

    /// Drops the oldest generation while there are enough entries without it.
    fn forget_surplus(&mut self) {
        while let Some(oldest) = self.store.generations.front()
            && self.store.len - oldest.len() >= self.wanted.max(1)
        {
            self.forget_oldest();
        }
    }

    /// One a handshake, so that none takes long.
    fn forget_oldest_if_old(&mut self, second: u64) {
        let max_age = u64::from(self.max_age) + 2 * UNIT;
        let is_old = |oldest: &Generation| oldest.last_seen.saturating_add(max_age) < second;
        if self.store.generations.front().is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.store.generations.pop_front();
        self.store.len -= oldest.map_or(0, |oldest| oldest.len());
    }

    /// The hash in the upper 48 bits; never 0, which is a free place.
    fn fingerprint(&self, id: &[u8]) -> u64 {
        let hash = hmac_sha256(&self.key, &[id]);
        let hash = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
        (hash & !TIME_MASK).max(TIME_MASK + 1)
    }

    fn second(&self, now: u64) -> u64 {
        now.wrapping_add(self.ahead)
    }
}

fn unit(second: u64) -> u64 {
    (second / UNIT) & TIME_MASK
}

/// Of std's own randomness, whose hash itself cannot be kept for another run.
fn random_key() -> [u8; 32] {
    let random = RandomState::new();
    let mut key = [0; 32];
    for (number, part) in key.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&random.hash_one(number).to_be_bytes());
    }
    key
}

#[cfg(test)]
mod tests;
