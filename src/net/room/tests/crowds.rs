//! Whom many others at once do not hold up.

use super::*;

/// Eighty at a time, at the address of the honest one.
#[test]
fn who_announces_a_large_packet_and_sends_little_of_it_does_not_hold_up_others() {
    for manner in [
        Manner::Stop(0),
        Manner::Stop(1),
        Manner::Stop(128),
        Manner::Bursts(1, 40),
        Manner::Bursts(1, 2500),
        Manner::Steady(40),
    ] {
        let other = Plan {
            packet: MIB,
            manner,
            ..honest(MIB)
        };
        for capacity in [SMALL, MIDDLE, LARGE] {
            let worst = run(capacity, &[honest(300_000)], &[other; 80], 3000);
            // With his first packet he waits for a round of those before him.
            let limit = Duration::from_millis(if capacity == LARGE { 1500 } else { 1000 });
            assert!(worst < limit, "{capacity} {manner:?}: {worst:?}");
        }
    }
}

/// Whatever the large packets do, and the small ones that are not finished.
#[test]
fn small_packets_pass() {
    for (packet, manner) in [
        (MIB, Manner::Stop(128)),
        (MIB, Manner::Steady(40)),
        (300_000, Manner::Stop(128)),
        (300_000, Manner::Steady(40)),
    ] {
        let other = Plan {
            packet,
            manner,
            ..honest(packet)
        };
        let worst = run(SMALL, &[honest(64)], &[other; 80], 3000);
        assert!(worst <= STEP * 5, "{manner:?}: {worst:?}");
    }
    for manner in [Manner::Stop(128), Manner::Bursts(1, 40)] {
        let other = Plan {
            packet: 4000,
            manner,
            ..honest(4000)
        };
        let worst = run(SMALL, &[honest(64)], &[other; 600], 2000);
        assert!(worst < Duration::from_secs(2), "{manner:?}: {worst:?}");
    }
}

/// They announce no more than he does, and so are told from him by what they do
/// only. From another address, he waits for those who have begun.
#[test]
fn another_address_does_not_wait_behind_a_crowd() {
    for part in [128, 250] {
        let other = Plan {
            user: 2,
            packet: 300_000,
            manner: Manner::Stop(part),
        };
        for capacity in [SMALL, MIDDLE, LARGE] {
            let worst = run(capacity, &[honest(300_000)], &[other; 80], 3000);
            assert!(
                worst < Duration::from_secs(5),
                "{capacity} {part}: {worst:?}"
            );
        }
    }
}

#[test]
fn many_good_senders_all_get_through() {
    for (bytes, packet) in [(KERNEL, 512 << 10), (2000, 512 << 10), (1000, MIB)] {
        let plan = Plan {
            manner: Manner::Steady(bytes),
            ..honest(packet)
        };
        let worst = run(MIDDLE, &[plan; 20], &[], 20_000);
        let alone = STEP * plan.steps_alone();
        assert!(
            worst < 20 * alone + Duration::from_secs(5),
            "{bytes}: {worst:?}"
        );
    }
}

#[test]
fn the_memory_of_users_is_bounded() {
    let mut room = Room::new(100, 0);
    let now = Instant::now();
    room.taken = 100;
    for user in 0..3 * MAX_USERS as u64 {
        let id = room.claim(User(user), DC, 50, now).unwrap();
        room.wait(id, now);
        if user > 0 {
            room.close(id, now);
        }
        assert!(room.next_turns.len() <= MAX_USERS + 1);
    }
}
