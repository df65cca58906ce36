use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    buffers: 1 << 20,
    links: 16,
    streams: 64,
    lines: 24,
};

fn count(whole: &Whole, user: usize, place: Scarce) -> usize {
    whole.users[user].places[place as usize]
}

fn total(whole: &Whole, place: Scarce) -> usize {
    whole
        .users
        .iter()
        .map(|(user, _)| count(whole, user, place))
        .sum()
}

proptest! {
    #[test]
    fn who_keeps_to_its_share_loses_nothing_to_others(
        users in 2..6_usize,
        steps in proptest::collection::vec((0..6_usize, 1..100_000_usize), 1..200),
    ) {
        let mut whole = Whole::new(LIMITS);
        let ids: Vec<_> = (0..users).map(|_| whole.enter()).collect();
        let share = LIMITS.buffers / 2 / users;
        let mut streams: Vec<Vec<usize>> = vec![Vec::new(); users];
        for (at, bytes) in steps {
            // The first takes whatever it can get.
            let at = at % users;
            let bytes = if at == 0 { bytes * 4 } else { bytes };
            streams[at].push(bytes);
            whole.hold(ids[at], bytes);
            while let Some(worst) = whole.heaviest() {
                let worst = ids.iter().position(|id| *id == worst).unwrap();
                let held: usize = streams[worst].iter().sum();
                prop_assert!(held > share, "{} of {} are within its share", held, share);
                let largest = streams[worst].iter().max().copied().unwrap();
                let gone = streams[worst].iter().position(|one| *one == largest).unwrap();
                streams[worst].swap_remove(gone);
                whole.unhold(ids[worst], largest);
            }
            let held: usize = streams.iter().flatten().sum();
            prop_assert_eq!(whole.held, held);
            prop_assert!(held <= LIMITS.buffers / 2);
        }
        for (id, streams) in ids.iter().zip(streams) {
            whole.unhold(*id, streams.iter().sum());
        }
        prop_assert_eq!(whole.held, 0);
        prop_assert!(!whole.is_crowded());
    }

    #[test]
    fn who_has_less_than_its_share_always_finds_a_place(
        users in 1..6_usize,
        place in prop_oneof![Just(Scarce::Link), Just(Scarce::Stream), Just(Scarce::Line)],
        steps in proptest::collection::vec((0..6_usize, 0..4_usize), 1..400),
    ) {
        let mut whole = Whole::new(LIMITS);
        let ids: Vec<_> = (0..users).map(|_| whole.enter()).collect();
        let limit = whole.limit(place);
        let share = limit / users.max(2);
        // One was here before the others, and never leaves by itself.
        while whole.weigh(ids[0], place) == Admission::Welcome {
            whole.take(ids[0], place);
        }
        prop_assert!(users > 1 || total(&whole, place) >= limit * 7 / 8);
        for (at, step) in steps {
            let user = ids[at % users];
            let own = count(&whole, user, place);
            if step == 0 && user != ids[0] {
                if own > 0 {
                    whole.give_back(user, place);
                }
                continue;
            }
            match whole.weigh(user, place) {
                Admission::Welcome => whole.take(user, place),
                Admission::InsteadOf(other) => {
                    prop_assert!(own < share && other != user);
                    prop_assert!(count(&whole, other, place) >= share);
                    whole.give_back(other, place);
                    whole.take(user, place);
                }
                Admission::Full => prop_assert!(own >= share),
            }
            prop_assert!(total(&whole, place) <= limit);
        }
    }
}

#[test]
fn packets_under_way_are_bounded_on_each_link() {
    let mut whole = Whole::new(LIMITS);
    let [one, other] = [(); 2].map(|()| whole.enter());
    for user in [one, one, other] {
        whole.take(user, Scarce::Link);
    }
    let share = LIMITS.buffers / 4 * 3 / 2;
    assert_eq!(whole.coming_limit(one), share / 2);
    assert_eq!(whole.coming_limit(other), share);
    whole.leave(one);
    assert_eq!(whole.coming_limit(other), share * 2);
}

#[test]
fn what_waits_for_credit_is_bounded_for_each_front() {
    let mut whole = Whole::new(LIMITS);
    let [one, other] = [(); 2].map(|()| whole.enter());
    let share = LIMITS.buffers / 4 * 3 / 2;
    whole.queue(one, share + 5);
    assert_eq!((whole.queue_room(one), whole.queue_room(other)), (0, share));
    whole.unqueue(one, 15);
    assert_eq!(whole.queue_room(one), 10);
}

#[test]
fn numbers_of_streams_are_bounded() {
    let mut whole = Whole::new(LIMITS);
    let user = whole.enter();
    let most = LIMITS.streams + LEAVING;
    assert!((0..most).all(|_| whole.take_number(user)));
    assert!(!whole.take_number(user));
    whole.free_numbers(user, 2);
    assert!(whole.take_number(user));
}
