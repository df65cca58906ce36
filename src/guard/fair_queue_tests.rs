use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;

fn member(origin: u64, hope: Hope, number: u64) -> Member {
    Member {
        origin: Origin(origin),
        hope,
        number,
    }
}

#[test]
fn origins() {
    let of = |text: &str| Origin::of(text.parse().unwrap());
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::2:3:4:5"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
}

#[test]
fn the_address_with_most_goes_first_its_least_promising_and_oldest() {
    let mut queue = FairQueue::default();
    queue.insert(member(1, Hope::Some, 0), false);
    queue.insert(member(2, Hope::Begun, 1), false);
    queue.insert(member(2, Hope::Some, 2), false);
    queue.insert(member(2, Hope::Some, 3), false);
    queue.insert(member(3, Hope::Site, 4), false);
    let mut order = Vec::new();
    while let Some(first) = queue.first() {
        order.push(first.number);
        queue.remove(first);
    }
    assert_eq!(order, [2, 3, 4, 0, 1]);
    assert!(queue.members.is_empty() && queue.groups.is_empty() && queue.ranking.is_empty());
}

#[test]
fn trust_is_worth_some_connections_not_all() {
    let mut queue = FairQueue::default();
    for number in 0..15 {
        queue.insert(member(1, Hope::Some, number), true);
    }
    queue.insert(member(2, Hope::Some, 20), false);
    queue.insert(member(2, Hope::Some, 21), false);
    assert_eq!(queue.first().map(|first| first.number), Some(20));
    for number in 30..40 {
        queue.insert(member(1, Hope::Some, number), true);
    }
    assert_eq!(queue.first().map(|first| first.number), Some(0));
}

const HOPES: [Hope; 4] = [Hope::None, Hope::Site, Hope::Some, Hope::Begun];

proptest! {
    /// `first` is what looking at all of them finds.
    #[test]
    fn the_ranking_is_right(
        steps in proptest::collection::vec((0u64..5, 0usize..4, any::<Option<proptest::sample::Index>>()), 1..120),
        trusted in 0u64..5,
    ) {
        let mut queue = FairQueue::default();
        let mut all: Vec<Member> = Vec::new();
        for (number, (origin, hope, leaving)) in (0..).zip(steps) {
            match leaving {
                Some(which) if !all.is_empty() => {
                    queue.remove(all.remove(which.index(all.len())));
                }
                _ => {
                    let member = member(origin, HOPES[hope], number);
                    queue.insert(member, origin == trusted);
                    all.push(member);
                }
            }
            let weight = |origin: Origin| {
                let count = all.iter().filter(|one| one.origin == origin).count();
                if origin.0 == trusted { count / TRUST } else { count }
            };
            let first = all
                .iter()
                .max_by_key(|one| (weight(one.origin), Reverse((one.hope, one.number))))
                .map(|first| weight(first.origin));
            let found = queue.first();
            prop_assert_eq!(found.map(|found| weight(found.origin)), first);
            if let Some(found) = found {
                let mut others = all.iter().filter(|one| one.origin == found.origin);
                prop_assert!(others.all(|one| (one.hope, one.number) >= (found.hope, found.number)));
            }
            prop_assert_eq!(queue.len(), all.len());
        }
    }

    /// Whatever a crowd from fewer addresses than there is room does, and however
    /// much of it comes: who needs some time to prove himself has it.
    #[test]
    fn few_addresses_push_out_nobody(
        room in 8usize..80,
        addresses in 1u64..1000,
        together in 1usize..4,
        is_trusted in any::<bool>(),
        arrivals in proptest::collection::vec((any::<u64>(), 0usize..4), 1..600),
    ) {
        // Good ones of one address: their share has to be larger.
        let addresses = 1 + addresses % ((room / (together + 1)) as u64 - 1).max(1);
        let mut queue = FairQueue::default();
        let mut good = Vec::new();
        for number in 0..together as u64 {
            let one = member(u64::MAX, Hope::Some, number);
            queue.insert(one, is_trusted);
            good.push(one);
        }
        for (number, (origin, hope)) in (10..).zip(arrivals) {
            while queue.len() >= room {
                let first = queue.first().unwrap();
                prop_assert!(!good.contains(&first), "{addresses} addresses, room for {room}");
                queue.remove(first);
            }
            queue.insert(member(origin % addresses, HOPES[hope], number), false);
        }
    }

    /// Of any number of addresses: nobody goes before as many have come after him
    /// as there is room for.
    #[test]
    fn a_crowd_of_many_addresses_takes_its_time(
        room in 2usize..60,
        origins in proptest::collection::vec(any::<u64>(), 1..400),
        at in any::<proptest::sample::Index>(),
    ) {
        let good = at.index(origins.len());
        let mut queue = FairQueue::default();
        let mut since = 0;
        for (number, origin) in origins.into_iter().enumerate() {
            while queue.len() >= room {
                let first = queue.first().unwrap();
                if first.number == good as u64 {
                    prop_assert!(since + 1 >= room, "after {since}, room for {room}");
                    return Ok(());
                }
                queue.remove(first);
            }
            let is_good = number == good;
            let origin = if is_good { u64::MAX } else { origin % u64::MAX };
            queue.insert(member(origin, Hope::Some, number as u64), false);
            since += usize::from(number > good);
        }
    }
}
