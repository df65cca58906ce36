//! Who goes first of those who have proven nothing, where there is no room for all.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::config::Network;

/// An address that has proven itself counts as this many times fewer
/// connections: an app opens 3 to 8 at once, and so may its neighbours behind
/// the same address.
const TRUST: usize = 8;

/// Where a connection comes from: what [one subscriber](Network::of_subscriber)
/// has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin(u64);

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match Network::of_subscriber(address).first() {
            // No /64 of that value is in use.
            IpAddr::V4(address) => Self(0xffff << 32 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }

    /// No other has the same.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// What may still come of a connection; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hope {
    /// It was turned away and only has not gone yet.
    None,
    /// It is shown the site: no client, but to be treated as the site would.
    Site,
    /// It may still prove itself.
    Some,
    /// It has begun as those do who prove themselves.
    Begun,
}

impl Hope {
    fn of(order: u64) -> Self {
        match order >> NUMBER_BITS {
            0 => Self::None,
            1 => Self::Site,
            2 => Self::Some,
            _ => Self::Begun,
        }
    }
}

/// One of a [`FairQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) origin: Origin,
    pub(crate) hope: Hope,
    /// Lower numbers came earlier; no two are the same.
    pub(crate) number: u64,
}

/// Who has to go first when there is no room for all who have proven nothing:
/// of the address with most of them the least promising, of these the oldest.
///
/// So a crowd pushes out itself. Who comes from an address with `k` others stays
/// as long as the crowd has fewer than `room / (k + 1)` addresses, at whatever
/// rate it comes; with more, as long as it takes the crowd to come once anew.
#[derive(Default)]
pub(crate) struct FairQueue {
    /// Each under its origin and its order there. The same type as that of the ranking, and
    /// of `net::room`'s queue: code for one.
    members: BTreeMap<(u64, u64), u64>,
    groups: HashMap<Origin, Group>,
    /// The origins; the last one's goes first.
    ranking: BTreeMap<Rank, u64>,
}

#[derive(Default)]
struct Group {
    count: usize,
    is_trusted: bool,
    rank: Option<Rank>,
}

/// How many an origin has, then the complement of the lowest order among them: that
/// of the one who goes first.
type Rank = (u64, u64);

/// The hope above the number: among those of one origin the least goes first.
fn order(hope: Hope, number: u64) -> u64 {
    (hope as u64) << NUMBER_BITS | number
}

const NUMBER_BITS: u32 = 62;

impl FairQueue {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// `is_trusted`: somebody from there has proven himself lately.
    pub(crate) fn insert(&mut self, member: Member, is_trusted: bool) {
        let Member {
            origin,
            hope,
            number,
        } = member;
        let place = (origin.0, order(hope, number));
        if self.members.insert(place, number).is_none() {
            let group = self.groups.entry(origin).or_default();
            group.count += 1;
            group.is_trusted = is_trusted;
            self.rank(origin);
        }
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, member: Member) -> bool {
        let Member {
            origin,
            hope,
            number,
        } = member;
        let place = (origin.0, order(hope, number));
        let was_there = self.members.remove(&place).is_some();
        if was_there && let Some(group) = self.groups.get_mut(&origin) {
            group.count -= 1;
            self.rank(origin);
        }
        was_there
    }

    /// Who goes first.
    pub(crate) fn first(&self) -> Option<Member> {
        let (&(_, rank), &origin) = self.ranking.last_key_value()?;
        Some(Member {
            origin: Origin(origin),
            hope: Hope::of(!rank),
            number: !rank & ((1 << NUMBER_BITS) - 1),
        })
    }

    fn rank(&mut self, origin: Origin) {
        let Some(group) = self.groups.get_mut(&origin) else {
            return;
        };
        if let Some(old) = group.rank.take() {
            self.ranking.remove(&old);
        }
        let all_of_it = (origin.0, 0)..=(origin.0, u64::MAX);
        let Some((&(_, order), _)) = self.members.range(all_of_it).next() else {
            self.groups.remove(&origin);
            if self.groups.is_empty() {
                // The table of a crowd is not kept.
                self.groups = HashMap::new();
            }
            return;
        };
        let weight = match group.is_trusted {
            true => group.count / TRUST,
            false => group.count,
        };
        let rank = (weight as u64, !order);
        group.rank = Some(rank);
        self.ranking.insert(rank, origin.0);
    }
}

#[cfg(test)]
#[path = "fair_queue_tests.rs"]
mod tests;
