//! What one DC does not take leaves room to others.

use super::*;

/// Takes all of a packet that has room.
fn fill(room: &mut Room, id: Id, chunks: usize, free: &mut usize, now: Instant) {
    assert!(room.ask(id, *free, now));
    for _ in 0..chunks {
        assert!(room.take(id).is_some());
    }
    *free -= chunks;
}

#[test]
fn packets_that_a_dc_does_not_take_leave_a_part_to_others() {
    let (mut room, mut free) = (Room::new(2000, 0), 2000);
    let (now, other) = (Instant::now(), Destination(4));
    let stuck = room.claim(User(1), DC, 1200, now).unwrap();
    fill(&mut room, stuck, 1200, &mut free, now);
    room.close(stuck, now);
    // Of its destination there is more than its part.
    let next = room.claim(User(1), DC, 301, now).unwrap();
    assert!(!room.ask(next, free, now));
    room.wait(next, now);
    let free_to_go = room.claim(User(1), other, 600, now).unwrap();
    fill(&mut room, free_to_go, 600, &mut free, now);
    room.close(free_to_go, now);
    for _ in 0..600 {
        room.freed(other);
        free += 1;
        assert!(room.call(free, now).is_empty());
    }
    // It waits for one chunk of its own, however much is free.
    room.freed(DC);
    free += 1;
    assert_eq!(room.call(free, now), [next]);
    fill(&mut room, next, 301, &mut free, now);
    room.close(next, now);
    assert_eq!(room.tally().taken, 1500);
    for _ in 0..1500 {
        room.freed(DC);
    }
    // Alone it may have all.
    let large = room.claim(User(1), DC, 2000, now).unwrap();
    let mut free = 2000;
    fill(&mut room, large, 2000, &mut free, now);
    room.close(large, now);
}

#[test]
fn who_holds_up_others_of_his_destination_goes_though_much_is_free() {
    let (mut room, mut free) = (Room::new(2000, 0), 2000);
    let start = Instant::now();
    let silent = room.claim(User(1), DC, 1400, start).unwrap();
    fill(&mut room, silent, 1000, &mut free, start);
    let good = room.claim(User(2), DC, 800, start).unwrap();
    assert!(!room.ask(good, free, start));
    room.wait(good, start);
    let mut now = start;
    while room.revoked(silent).is_none() {
        assert!(now < start + Duration::from_secs(2));
        now += STEP * LOOK;
        room.look(free, now);
    }
    room.close(silent, now);
    for _ in 0..1000 {
        room.freed(DC);
        free += 1;
    }
    let called = room.call(free, now);
    assert_eq!(called, [good]);
    fill(&mut room, good, 800, &mut free, now);
}
