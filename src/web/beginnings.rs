//! Who may begin a web session, where more would than may in all: it is shared out by
//! address and by secret.
//!
//! Each beginning counts for a while. An address that has some that count begins another
//! one only while the room that is left is a multiple of them, and so does a secret: the
//! more there is of a crowd, the less each of it may, and there is always some room for who
//! has none. Plain values: the time is told.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::limits::{BEGINNINGS, BEGINNINGS_OF_ADDRESS, Bucket};
use crate::guard::fair_queue::Origin;

/// As many that count as all may begin at once.
const ROOM: usize = BEGINNINGS.burst as usize;

/// After so long the oldest one counts no more.
const COUNTS_FOR: Duration = Duration::from_millis(1000 / BEGINNINGS.a_second as u64);

/// An address has at most one for so many places that are left.
const ADDRESS_PART: usize = 8;

/// Those of one secret are at most so many times what is left.
const SECRET_TIMES: usize = 3;

/// See the module. `K` tells secrets apart.
pub(super) struct Beginnings<K> {
    /// Those that count, the oldest first.
    counting: VecDeque<(Origin, K)>,
    /// From then on the oldest one's time runs.
    since: Instant,
    of_address: HashMap<Origin, usize>,
    of_secret: HashMap<K, usize>,
    /// How often an address may, whether or not others want to.
    rates: HashMap<Origin, Bucket>,
}

impl<K: Copy + Eq + Hash> Beginnings<K> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counting: VecDeque::new(),
            since: now,
            of_address: HashMap::new(),
            of_secret: HashMap::new(),
            rates: HashMap::new(),
        }
    }

    /// Whether one of `origin` with `secret` may begin now; then it counts.
    pub(super) fn take(&mut self, origin: Origin, secret: K, now: Instant) -> bool {
        self.pass_time(now);
        let count = |count: Option<&usize>| count.copied().unwrap_or_default();
        let left = ROOM.saturating_sub(self.counting.len());
        let of_secret = count(self.of_secret.get(&secret));
        let left = left.min((SECRET_TIMES * left).saturating_sub(of_secret));
        let of_address = count(self.of_address.get(&origin));
        if left == 0 || ADDRESS_PART * of_address > left {
            return false;
        }
        let rate = BEGINNINGS_OF_ADDRESS;
        let bucket = self.rates.entry(origin);
        let bucket = bucket.or_insert_with(|| Bucket::new(rate, now));
        if !bucket.take(rate, now) {
            return false;
        }
        self.counting.push_back((origin, secret));
        *self.of_address.entry(origin).or_default() += 1;
        *self.of_secret.entry(secret).or_default() += 1;
        true
    }

    /// Forgets who is as one that has never begun any; whether nobody is left.
    pub(super) fn forget_old(&mut self, now: Instant) -> bool {
        self.pass_time(now);
        let rate = BEGINNINGS_OF_ADDRESS;
        self.rates.retain(|_, bucket| !bucket.is_full(rate, now));
        self.rates.is_empty() && self.counting.is_empty()
    }

    fn pass_time(&mut self, now: Instant) {
        while now.saturating_duration_since(self.since) >= COUNTS_FOR {
            let Some((origin, secret)) = self.counting.pop_front() else {
                break;
            };
            self.since += COUNTS_FOR;
            give_back(&mut self.of_address, &origin);
            give_back(&mut self.of_secret, &secret);
        }
        if self.counting.is_empty() {
            self.since = now;
            // What a crowd has made large is not kept for it.
            self.counting.shrink_to(ROOM / 16);
        }
    }
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    /// So many of `wanted` may begin now, which come from as many addresses by turns.
    fn taken(
        beginnings: &mut Beginnings<u8>,
        (addresses, secret): (std::ops::Range<u32>, u8),
        wanted: usize,
        now: Instant,
    ) -> usize {
        let addresses = addresses.cycle().take(wanted);
        let begin = |address: &u32| beginnings.take(origin(*address), secret, now);
        addresses.filter(begin).count()
    }

    #[test]
    fn one_address_begins_as_often_as_it_may_at_all() {
        let now = Instant::now();
        let mut beginnings = Beginnings::new(now);
        assert_eq!(taken(&mut beginnings, (1..2, 0), 500, now), 120);
        let later = now + Duration::from_secs(10);
        assert_eq!(taken(&mut beginnings, (1..2, 0), 500, later), 20);
        assert!(!beginnings.forget_old(later));
        assert!(beginnings.forget_old(later + Duration::from_secs(70)));
        assert!(beginnings.of_address.is_empty() && beginnings.of_secret.is_empty());
    }

    /// However many addresses a crowd has, who has begun none finds room, at once and
    /// while it goes on.
    #[test]
    fn a_crowd_leaves_room_for_others() {
        for crowd in [1, 10, 100, 300] {
            let start = Instant::now();
            let mut beginnings = Beginnings::new(start);
            for second in 0..30 {
                let now = start + Duration::from_secs(second);
                taken(&mut beginnings, (0..crowd, 0), 10_000, now);
                let other = 1_000_000 + second as u32;
                assert!(beginnings.take(origin(other), 0, now), "{crowd} {second}");
            }
        }
    }

    /// A secret that was given to everybody takes nothing from the others.
    #[test]
    fn a_crowd_of_one_secret_leaves_room_for_others() {
        let start = Instant::now();
        let mut beginnings = Beginnings::new(start);
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            taken(&mut beginnings, (0..10_000, 0), 10_000, now);
            let others = 1_000_000 + 10 * second as u32;
            let others = (others..others + 5, 1);
            assert_eq!(taken(&mut beginnings, others, 5, now), 5, "{second}");
        }
        assert!(beginnings.counting.len() <= ROOM);
    }

    /// What all may begin is not lost to anybody, if others want less.
    #[test]
    fn all_together_begin_as_many_as_there_is_room_for() {
        let start = Instant::now();
        let mut beginnings = Beginnings::new(start);
        let at_once = taken(&mut beginnings, (0..10_000, 0), 10_000, start);
        assert!((ROOM * 3 / 4..=ROOM).contains(&at_once), "{at_once}");
        let mut more = 0;
        for second in 1..=10 {
            let now = start + Duration::from_secs(second);
            let crowd = 200_000 + 1000 * second as u32;
            more += taken(&mut beginnings, (crowd..crowd + 1000, 0), 1000, now);
        }
        assert!((190..=200).contains(&more), "{more}");
    }
}
