//! How many new connections a subnet makes.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::config::{FloodLimits, Network};

/// Subnets that are followed at a time, in sets of [`WAYS`].
const SETS: usize = 1024;
const WAYS: usize = 4;

/// A token is one connection; levels are kept in thousandths.
const TOKEN: u64 = 1000;

/// Counts connections by subnet, in a fixed amount of memory (64 KiB).
///
/// A connection takes a token of its subnet's bucket when it arrives and gives
/// it back when its handshake has proven a secret: good clients do not use up
/// what they share with others. A set that is full forgets its fullest bucket,
/// which is the one that has the least to tell.
pub(crate) struct Flood {
    limits: FloodLimits,
    hasher: RandomState,
    /// Empty until the first connection.
    sets: Vec<[Bucket; WAYS]>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Part of the hash of the subnet; 0 is a free bucket.
    subnet: u32,
    /// Thousandths of tokens that are missing to a full bucket.
    missing: u32,
    /// Milliseconds, of the clock of the caller, when `missing` was true.
    since: u64,
}

impl Bucket {
    fn missing_at(&self, now: u64, rate: u32) -> u32 {
        let back = now.saturating_sub(self.since).saturating_mul(rate.into());
        u64::from(self.missing).saturating_sub(back) as u32
    }
}

impl Flood {
    pub(crate) fn new(limits: FloodLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            sets: Vec::new(),
        }
    }

    pub(crate) fn set_limits(&mut self, limits: FloodLimits) {
        self.limits = limits;
    }

    /// May a connection from `address` come in? `now` in milliseconds of a
    /// clock that does not go back.
    pub(crate) fn arrive(&mut self, address: IpAddr, now: u64) -> bool {
        let limits = self.limits;
        let Some(bucket) = self.bucket(address, now) else {
            return true;
        };
        let missing = u64::from(bucket.missing_at(now, limits.rate)) + TOKEN;
        if missing > u64::from(limits.burst) * TOKEN {
            return false;
        }
        bucket.missing = u32::try_from(missing).unwrap_or(u32::MAX);
        bucket.since = now;
        true
    }

    /// A connection from `address` that came in has proven a secret.
    pub(crate) fn proven(&mut self, address: IpAddr, now: u64) {
        let rate = self.limits.rate;
        if let Some(bucket) = self.bucket(address, now) {
            bucket.missing = bucket.missing_at(now, rate).saturating_sub(TOKEN as u32);
            bucket.since = now;
        }
    }

    /// The bucket of an address's subnet; there always is one.
    fn bucket(&mut self, address: IpAddr, now: u64) -> Option<&mut Bucket> {
        let length = match address.to_canonical() {
            IpAddr::V4(_) => self.limits.ipv4_prefix,
            IpAddr::V6(_) => self.limits.ipv6_prefix,
        };
        let hash = self.hasher.hash_one(Network::containing(address, length));
        let subnet = (hash >> 32) as u32 | 1;
        let rate = self.limits.rate;
        if self.sets.is_empty() {
            self.sets = vec![[Bucket::default(); WAYS]; SETS];
        }
        let set = self.sets.get_mut(hash as usize % SETS)?;
        let bucket = set
            .iter_mut()
            .min_by_key(|bucket| (bucket.subnet != subnet, bucket.missing_at(now, rate)))?;
        if bucket.subnet != subnet {
            *bucket = Bucket {
                subnet,
                missing: 0,
                since: now,
            };
        }
        Some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn limits(rate: u32, burst: u32) -> FloodLimits {
        let flag = format!("{rate},{burst}");
        let config = Config::of(&[("--flood-limit", &flag)]);
        config.guard.flood.unwrap()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut flood = Flood::new(limits(2, 8));
        let client = "192.0.2.1".parse().unwrap();
        let mut taken = 0;
        for now in 0..10_000 {
            taken += u32::from(flood.arrive(client, now));
        }
        assert_eq!(taken, 8 + 19);
    }

    #[test]
    fn proven_clients_do_not_use_it_up() {
        let mut flood = Flood::new(limits(1, 3));
        let client = "2001:db8::1".parse().unwrap();
        for _ in 0..100 {
            assert!(flood.arrive(client, 7));
            flood.proven(client, 7);
        }
        for _ in 0..3 {
            assert!(flood.arrive(client, 7));
        }
        assert!(!flood.arrive("2001:db8::2".parse().unwrap(), 7), "one /64");
        assert!(flood.arrive("2001:db8:0:1::1".parse().unwrap(), 7));
    }

    #[test]
    fn many_subnets_do_not_hide_a_flooder() {
        let mut flood = Flood::new(limits(1, 50));
        let flooder = "198.51.100.1".parse().unwrap();
        let mut taken = 0;
        for n in 0..40_000u32 {
            flood.arrive(IpAddr::V4((0x0a00_0000 + n).into()), 5);
            if n % 10 == 0 {
                taken += u32::from(flood.arrive(flooder, 5));
            }
        }
        assert!(taken <= 60, "{taken}");
    }

    proptest! {
        /// The same answers as one exact bucket a client.
        #[test]
        fn buckets_are_exact(
            rate in 1u32..50,
            burst in 1u32..20,
            steps in proptest::collection::vec((0u8..3, 0u64..400, any::<bool>()), 1..200),
        ) {
            let mut flood = Flood::new(limits(rate, burst));
            let mut model: HashMap<u8, (i64, u64)> = HashMap::new();
            let mut now = 99;
            for (client, pause, proven) in steps {
                now += pause;
                let (level, since) = model
                    .entry(client)
                    .or_insert((i64::from(burst) * 1000, now));
                let full = i64::from(burst) * 1000;
                *level = full.min(*level + (now - *since) as i64 * i64::from(rate));
                *since = now;
                let address = IpAddr::V4([192, 0, 2, client].into());
                let allowed = flood.arrive(address, now);
                prop_assert_eq!(allowed, *level >= 1000);
                if allowed {
                    *level -= 1000;
                    if proven {
                        flood.proven(address, now);
                        *level += 1000;
                    }
                }
            }
        }
    }
}
