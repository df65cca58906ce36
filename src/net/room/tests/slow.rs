//! Who is too slow goes while others wait, and nobody else.

use proptest::prelude::*;

use super::*;

#[test]
fn a_sender_that_is_slower_than_a_packet_may_be_goes_while_others_wait() {
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let slow = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(slow, 100, start));
    assert!(room.take(slow).is_some());
    // So much is missing to somebody that nobody's going would help.
    room.taken += 30;
    let waiting = room.claim(User(2), DC, 99, start).unwrap();
    assert!(!room.ask(waiting, 100, start));
    room.wait(waiting, start);
    let mut gone = Vec::new();
    for second in 0..=300 {
        let now = start + Duration::from_secs(second);
        room.received(slow, 3900, now);
        let revoked = room.look(100, now).revoked;
        gone.extend(revoked.into_iter().map(|id| (id, second)));
    }
    assert_eq!(gone, [(slow, 30), (waiting, 300)]);
    assert_eq!(room.revoked(slow), Some(Revocation::TooSlow));
    assert_eq!(room.revoked(waiting), Some(Revocation::TooLong));
    assert!(!room.is_short());
}

#[test]
fn who_is_far_away_is_not_late_before_anything_can_come() {
    let way = Duration::from_millis(250);
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let told = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(told, 100, start));
    assert_eq!(room.set_aside(told, 200), 60);
    room.is_away(told, start + way);
    let waiting = room.claim(User(1), DC, 50, start).unwrap();
    room.wait(waiting, start);
    let at = |time| start + time;
    assert!(room.look(100, at(BLOCKED)).revoked.is_empty());
    let just = at(way + LATE - STEP);
    assert!(room.look(100, just).revoked.is_empty());
    assert_eq!(room.look(100, at(way + LATE)).revoked, [told]);
    assert_eq!(room.close(told, at(MAX_PACKET_TIME)), 60);
    assert_eq!(room.call(100, at(MAX_PACKET_TIME)), [waiting]);
    assert!(room.ask(waiting, 100, at(MAX_PACKET_TIME)));
    assert_eq!(room.tally().waiters, 0);
}

#[test]
fn nobody_goes_while_nobody_waits() {
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let slow = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(slow, 100, start) && room.take(slow).is_some());
    let late = start + MAX_PACKET_TIME * 2;
    assert!(room.look(100, late).revoked.is_empty());
    assert_eq!(room.revoked(slow), None);
}

/// All looks come right behind bytes of a sender that is too slow, and of which two
/// others hold on to so much room that each is a little short of it.
#[test]
fn a_trickle_is_not_taken_for_a_pace() {
    let plan = |user, packet, pace| Plan {
        user,
        packet,
        manner: Manner::Steady(pace),
    };
    let others = [plan(2, 420_228, 57), plan(2, 967_236, 382)];
    let worst = run(SMALL, &[plan(1, 445_451, 5367)], &others, 8000);
    assert!(worst < Duration::from_secs(40), "{worst:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However its bytes come and whenever we look: who is too slow goes soon after
    /// it holds up somebody, and who is not stays.
    #[test]
    fn who_is_too_slow_is_found(
        every in prop_oneof![1..250u64, Just(5), Just(10), Just(25)],
        bytes in prop_oneof![1..8000usize, 1..400usize],
        first_look in prop_oneof![Just(0), 0..50u64],
    ) {
        let pace = bytes as u64 * 1000 / every;
        prop_assume!(pace.abs_diff(GOOD_PACE) > GOOD_PACE / 20);
        let (mut room, start) = (Room::new(100, 0), Instant::now());
        let sender = room.claim(User(1), DC, 60, start).unwrap();
        prop_assert!(room.ask(sender, 100, start) && room.take(sender).is_some());
        let waiting = room.claim(User(2), DC, 100, start).unwrap();
        room.wait(waiting, start);
        for millis in 1..10_000 {
            let now = start + Duration::from_millis(millis);
            if millis % every == 0 {
                room.received(sender, bytes, now);
            }
            if millis % 50 == first_look {
                room.look(99, now);
            }
        }
        prop_assert_eq!(room.revoked(sender).is_some(), pace < GOOD_PACE);
    }
}
