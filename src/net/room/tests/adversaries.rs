//! Good senders are served whatever others do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn manners() -> impl Strategy<Value = Manner> {
    prop_oneof![
        (0..=255usize).prop_map(Manner::Stop),
        (1..2000usize).prop_map(Manner::Steady),
        (1..100_000usize, 1..300u32).prop_map(|(bytes, steps)| Manner::Bursts(bytes, steps)),
    ]
}

fn adversaries() -> impl Strategy<Value = Plan> {
    (2..5u64, 70_000..=MIB, manners()).prop_map(|(user, packet, manner)| Plan {
        user,
        packet: packet / 4 * 4,
        manner,
    })
}

fn good() -> impl Strategy<Value = Plan> {
    let manners = prop_oneof![
        (300..70_000usize).prop_map(Manner::Steady),
        (1..40u32).prop_map(|steps| Manner::Bursts(300 * steps as usize, steps)),
    ];
    (70_000..600_000usize, manners).prop_map(|(packet, manner)| Plan {
        user: 1,
        packet,
        manner,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever others do: who sends well is never cut, and is served within
    /// a minute.
    #[test]
    fn good_senders_are_served_whatever_others_do(
        capacity in prop_oneof![Just(SMALL), Just(MIDDLE)],
        honest in vec(good(), 1..4),
        others in vec(adversaries(), 0..12),
    ) {
        for plan in &honest {
            prop_assert!(plan.is_good());
        }
        let alone = honest.iter().map(|plan| STEP * plan.steps_alone()).max().unwrap_or_default();
        let worst = run(capacity, &honest, &others, 8000);
        let limit = alone * 3 + Duration::from_secs(60);
        prop_assert!(worst < limit, "{worst:?}, alone {alone:?}");
    }
}

/// A packet over half of all room, among eleven senders of packets that fill the
/// room each time one ends, some of its own address.
#[test]
fn a_packet_over_half_of_the_room_is_not_passed_for_ever() {
    let plan = |user, packet, manner| Plan {
        user,
        packet,
        manner,
    };
    let large = plan(1, 581_153, Manner::Steady(8230));
    let next = plan(1, 215_345, Manner::Steady(17_882));
    let others = [
        plan(2, 348_848, Manner::Steady(1698)),
        plan(4, 183_848, Manner::Steady(1023)),
        plan(3, 567_820, Manner::Bursts(67_530, 8)),
        plan(4, 388_596, Manner::Stop(127)),
        plan(3, 741_228, Manner::Bursts(27_013, 150)),
        plan(4, 892_504, Manner::Steady(588)),
        plan(2, 875_812, Manner::Bursts(30_058, 103)),
        plan(2, 876_096, Manner::Steady(507)),
        plan(2, 235_588, Manner::Bursts(74_060, 135)),
    ];
    let worst = run(SMALL, &[large, next], &others, 30_000);
    assert!(worst < Duration::from_secs(60), "{worst:?}");
}
