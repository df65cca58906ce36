use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod model;

const TICK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Clients that take nothing block so many connections from `start` on; when
/// the last of them is cut.
fn cut_all(tolerance: &mut Tolerance, start: Instant, connections: usize) -> Instant {
    let (mut now, mut left) = (start, connections);
    while left > 0 {
        now += TICK;
        let blocked = left;
        for _ in 0..blocked {
            let blocker = Blocker {
                lull: now - start,
                lag: Duration::ZERO,
                reads: false,
                no_lane: false,
            };
            left -= usize::from(tolerance.is_out(now, &blocker));
        }
    }
    now
}

fn cut(tolerance: &mut Tolerance, start: Instant) -> Instant {
    cut_all(tolerance, start, 1)
}

#[test]
fn blocks_that_follow_closely_add_up_and_wear_off() {
    let start = Instant::now();
    let mut burden = Burden::default();
    assert_eq!(burden.weight(start), Duration::ZERO);
    let mut now = start;
    for _ in 0..2 {
        burden.note(now, true);
        now += Duration::from_millis(60);
        burden.note(now, false);
        now += Duration::from_millis(40);
    }
    assert_eq!(burden.weight(now), Duration::from_millis(100));
    assert_eq!(burden.weight(now + SECOND), Duration::ZERO);
    burden.note(now, true);
    assert_eq!(burden.weight(now + 60 * SECOND), MAX_BURDEN);
}

/// One that is blocked for a tenth of the time is left alone.
#[test]
fn short_blocks_do_not_isolate() {
    let mut burden = Burden::default();
    let mut now = Instant::now();
    for _ in 0..1000 {
        burden.note(now, true);
        now += Duration::from_millis(10);
        burden.note(now, false);
        assert!(burden.weight(now) < ISOLATE_AFTER);
        now += Duration::from_millis(90);
    }
}

#[test]
fn what_a_kernel_swallows_is_not_read() {
    let start = Instant::now();
    let mut slowness = Slowness::default();
    let soon = start + SWALLOWING / 2;
    slowness.blocks(start, start, Duration::ZERO);
    slowness.blocks(soon, soon, Duration::ZERO);
    slowness.blocks(start + 20 * SECOND, soon, Duration::ZERO);
    assert!(!slowness.reads(start + 20 * SECOND));
    let later = start + SWALLOWING;
    slowness.blocks(start + 21 * SECOND, later, Duration::from_millis(1));
    assert!(!slowness.reads(start + 21 * SECOND), "known a little late");
    slowness.blocks(start + 22 * SECOND, later, Duration::ZERO);
    assert!(slowness.reads(start + 22 * SECOND));
}

#[test]
fn a_mark_wears_off() {
    let start = Instant::now();
    let mut slowness = Slowness::default();
    slowness.blocks(start, start, Duration::ZERO);
    assert!(!slowness.is_slow(start), "one block is none");
    slowness.isolate();
    let last = start + 20 * SECOND;
    slowness.blocks(last, last, Duration::ZERO);
    assert!(slowness.is_slow(last + SLOW_FOR - TICK) && slowness.reads(last));
    assert!(!slowness.is_slow(last + SLOW_FOR) && !slowness.reads(last + SLOW_FOR));
    slowness.blocks(last + SLOW_FOR, last, Duration::ZERO);
    assert!(!slowness.is_slow(last + SLOW_FOR));
}

#[test]
fn tolerance_comes_back_after_a_while() {
    let mut tolerance = Tolerance::default();
    let start = Instant::now();
    let first = cut(&mut tolerance, start);
    assert_eq!(first - start, TOLERANCE);
    let later = first + TOLERANCE * RECOVERY / 2;
    let half = cut(&mut tolerance, later) - later;
    assert!(
        half > TOLERANCE * 2 / 5 && half <= TOLERANCE / 2,
        "{half:?}"
    );
    let much_later = later + half + TOLERANCE * RECOVERY;
    assert_eq!(cut(&mut tolerance, much_later) - much_later, TOLERANCE);
}

#[test]
fn where_no_connection_can_be_left_to_it_a_client_goes_soon() {
    let mut tolerance = Tolerance::default();
    let mut blocker = Blocker {
        lull: NO_LANE_TOLERANCE,
        lag: TICK,
        reads: false,
        no_lane: true,
    };
    assert!(!tolerance.is_out(Instant::now(), &blocker));
    blocker.lull += TICK;
    assert!(tolerance.is_out(Instant::now(), &blocker));
    blocker.reads = true;
    assert!(!tolerance.is_out(Instant::now(), &blocker));
}

proptest! {
    /// Clients that take nothing, each after a pause, on one connection or on
    /// several at once: others wait as for one, and a moment for each.
    #[test]
    fn many_that_take_nothing_cost_little_more_than_one(
        pauses in vec((0u64..100, 1usize..4), 1..60),
    ) {
        let mut tolerance = Tolerance::default();
        let start = Instant::now();
        let mut now = start;
        let mut waited = Duration::ZERO;
        for (pause, connections) in &pauses {
            now += Duration::from_millis(*pause);
            let end = cut_all(&mut tolerance, now, *connections);
            waited += end - now;
            now = end;
        }
        let moments = (MOMENT + 2 * TICK) * pauses.len() as u32;
        prop_assert!(waited <= TOLERANCE + moments, "{waited:?} for {}", pauses.len());
    }

    /// Who is known to read is not cut however little tolerance others have
    /// left, as long as it goes on within that time.
    #[test]
    fn who_reads_is_not_cut(
        gaps in vec(1u64..TOLERANCE.as_millis() as u64, 1..50),
        others in 0u32..10,
    ) {
        let mut tolerance = Tolerance::default();
        let mut now = Instant::now();
        for _ in 0..others {
            now = cut(&mut tolerance, now);
        }
        let mut slowness = Slowness::default();
        slowness.blocks(now, now, Duration::ZERO);
        now += SWALLOWING;
        for gap in gaps {
            let taken = now;
            for lull in 0..gap {
                now = taken + Duration::from_millis(lull);
                slowness.blocks(now, taken, Duration::ZERO);
                let blocker = Blocker {
                    lull: now - taken,
                    lag: Duration::ZERO,
                    reads: slowness.reads(now),
                    no_lane: lull % 2 == 0,
                };
                prop_assert!(!tolerance.is_out(now, &blocker));
            }
        }
    }

    #[test]
    fn connections_are_left_to_slow_clients_at_a_bounded_rate(
        pauses in vec(0u64..3000, 1..200),
    ) {
        let mut lanes = Lanes::default();
        let start = Instant::now();
        let mut now = start;
        let mut opened = 0;
        for pause in pauses {
            now += Duration::from_millis(pause);
            opened += u32::from(lanes.may_open(now));
            let most = LANE_BURST as f64 + (now - start).as_secs_f64() / LANE_EVERY.as_secs_f64();
            prop_assert!(f64::from(opened) <= most);
        }
        now += LANE_EVERY * LANE_BURST;
        let at_once = (0..100).filter(|_| lanes.may_open(now)).count();
        prop_assert_eq!(at_once, LANE_BURST as usize);
    }

    /// However many fill what they may have, in whatever order, some buffers
    /// are left; what is had for others leaves half of them.
    #[test]
    fn slow_clients_leave_some_buffers(
        mebibytes in 1usize..64,
        offers in vec((0usize..40, 0usize..4 << 20, any::<bool>()), 1..400),
    ) {
        let total = mebibytes << 20;
        let mut held = vec![0; 40];
        for (who, bytes, others_wait) in offers {
            let free = total - held.iter().sum::<usize>();
            let buffers = Buffers { total, free, own: held[who] };
            let room = buffers.allowance(1 << 20, others_wait).saturating_sub(held[who]);
            held[who] += room.min(bytes).min(free);
            let left = total - held.iter().sum::<usize>();
            prop_assert!(left + 40 * CHUNK_LEN >= total / 4, "{left} of {total}");
        }
    }
}
