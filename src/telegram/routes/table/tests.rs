use std::time::Duration;

use proptest::prelude::*;

use super::super::state::{IN_A_ROW, PROBE};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DC: DcId = DcId(2);

fn list(routes: &[RouteName]) -> RouteList {
    RouteList::from_routes(routes)
}

fn two() -> RouteList {
    list(&[RouteName::Direct, RouteName::Ws])
}

/// All that a client would try if nothing worked, in order; whether it is a probe.
fn order(table: &mut Table, list: &RouteList, now: Instant) -> (Vec<RouteName>, bool) {
    let (mut tried, mut routes, mut probes) = (Tried::default(), Vec::new(), false);
    while let Some(choice) = table.next(DC, list, &mut tried, now) {
        routes.push(choice.route);
        probes |= choice.is_probe;
    }
    (routes, probes)
}

fn first(table: &mut Table, list: &RouteList, now: Instant) -> Choice {
    let choice = table.next(DC, list, &mut Tried::default(), now);
    choice.expect("there is a route")
}

#[test]
fn what_failed_is_left_alone_and_one_client_tries_it_again() {
    use RouteName::{Direct, Ws};
    let (mut table, list, now) = (Table::default(), two(), Instant::now());
    assert_eq!(order(&mut table, &list, now), (vec![Direct, Ws], false));
    let news = table.failed(DC, Direct, RouteResult::Blocked, now);
    assert!(matches!(news, Some(News::Rests(rest)) if rest.left(now) == 600 * SECOND));
    assert_eq!(order(&mut table, &list, now), (vec![Ws, Direct], false));
    assert_eq!(table.failed(DC, Direct, RouteResult::Blocked, now), None);
    // Another DC is another matter.
    let other = table.next(DcId(-2), &list, &mut Tried::default(), now);
    assert_eq!(other.unwrap().route, Direct);

    let later = now + 600 * SECOND;
    let probe = first(&mut table, &list, later);
    assert!(probe.route == Direct && probe.is_probe && probe.has_next);
    assert_eq!(first(&mut table, &list, later).route, Ws, "one is enough");
    table.gave_up(DC, probe);
    let probe = first(&mut table, &list, later);
    assert!(probe.is_probe);
    assert_eq!(first(&mut table, &list, later + PROBE - SECOND).route, Ws);
    assert!(first(&mut table, &list, later + PROBE).is_probe);
    assert!(table.answers(DC, Direct, later + PROBE) == Some(News::Back));
    let choice = first(&mut table, &list, later + PROBE);
    assert!(choice.route == Direct && !choice.is_probe);
}

/// Three times in a row, unless a client had an answer in between.
#[test]
fn a_route_is_cleared_by_an_answer_to_us() {
    use RouteName::{Direct, Ws};
    let (mut table, list, mut now) = (Table::default(), two(), Instant::now());
    for answers in [false, true] {
        for _ in 0..IN_A_ROW {
            now += 6 * SECOND;
            assert!(table.is_starved(DC, Direct, now - 5 * SECOND));
            let news = table.failed(DC, Direct, RouteResult::Starves, now);
            assert!(matches!(news, Some(News::Rests(_))));
            assert_eq!(first(&mut table, &list, now).route, Ws);
            assert!(table.may_be_doubted(DC, Direct));
            assert_eq!(table.is_cleared(DC, Direct, now), Some(News::Back));
            assert_eq!(first(&mut table, &list, now).route, Direct);
            // Who asked before was not answered all the same, and is not believed.
            assert!(!table.is_starved(DC, Direct, now - SECOND));
        }
        assert!(!table.may_be_doubted(DC, Direct));
        if answers {
            table.answers(DC, Direct, now);
            assert!(table.may_be_doubted(DC, Direct));
        }
        table = Table::default();
    }
}

/// A client is not sent away for a route that does not lead to its DC.
#[test]
fn a_route_that_leads_nowhere_is_no_other() {
    use RouteName::{Direct, Ws};
    let (mut table, list, now) = (Table::default(), two(), Instant::now());
    table.leads_nowhere(DC, Ws, now);
    assert_eq!(table.dcs(), [], "nothing is kept of DCs that do not exist");
    table.failed(DC, Direct, RouteResult::Starves, now);
    assert!(table.has_other(DC, Direct, &list, now));
    table.leads_nowhere(DC, Ws, now);
    assert!(!table.has_other(DC, Direct, &list, now));
    let later = now + 600 * SECOND;
    let choice = first(&mut table, &list, later - SECOND);
    assert_eq!((choice.route, choice.has_next), (Ws, false));
    // A reload may have changed it.
    assert!(table.has_other(DC, Direct, &list, later));
    assert!(table.has_other(DcId(-2), Direct, &list, now));
}

#[test]
fn what_worked_last_is_first_for_ten_minutes() {
    use RouteName::{Direct, Ws};
    let (mut table, list, now) = (Table::default(), two(), Instant::now());
    table.answers(DC, Ws, now);
    assert_eq!(first(&mut table, &list, now + FAVOUR - SECOND).route, Ws);
    assert_eq!(first(&mut table, &list, now + FAVOUR).route, Direct);
    table.failed(DC, Ws, RouteResult::Ill, now);
    assert_eq!(first(&mut table, &list, now).route, Direct);
}

#[test]
fn if_all_rest_the_shortest_rest_is_tried_first() {
    use RouteName::{Direct, Worker, Ws, Zone};
    let list = list(&[Direct, Ws, Zone, Worker]);
    let (mut table, now) = (Table::default(), Instant::now());
    table.failed(DC, Direct, RouteResult::Blocked, now);
    table.failed(DC, Ws, RouteResult::Ill, now);
    table.failed(DC, Zone, RouteResult::Starves, now - SECOND);
    table.failed(DC, Worker, RouteResult::ProxyIll, now);
    let expected = vec![Worker, Ws, Zone, Direct];
    assert_eq!(order(&mut table, &list, now), (expected, false));
    assert!(!table.has_other(DC, Ws, &list, now));
    assert!(table.has_other(DC, Ws, &list, now + 5 * SECOND));
}

#[test]
fn a_line_starves_only_if_others_do() {
    let (mut table, list, now) = (Table::default(), two(), Instant::now());
    let route = RouteName::Direct;
    assert!(table.is_starved(DC, route, now));
    table.answers(DC, route, now + 2 * SECOND);
    assert!(!table.is_starved(DC, route, now + SECOND));
    assert!(!table.is_starved(DC, route, now + 2 * SECOND));
    assert!(table.is_starved(DC, route, now + 3 * SECOND));
    table.failed(DC, route, RouteResult::Starves, now + 8 * SECOND);
    assert_eq!(
        first(&mut table, &list, now + 8 * SECOND).route,
        RouteName::Ws
    );
}

#[test]
fn three_in_a_row_are_no_accident() {
    let (mut table, now) = (Table::default(), Instant::now());
    let route = RouteName::Direct;
    let at = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(table.falls_silent(DC, route, at(0)), None);
    assert_eq!(table.falls_silent(DC, route, at(1)), None);
    assert_eq!(table.passes(DC, route, at(2)), None);
    for second in [3, 4, 1000, 1001] {
        assert_eq!(table.falls_silent(DC, route, at(second)), None);
    }
    let news = table.falls_silent(DC, route, at(1002));
    assert!(matches!(news, Some(News::Rests(rest)) if rest.left(at(1002)) == 600 * SECOND));
    // It lets the beginning through, which says nothing.
    assert_eq!(table.answers(DC, route, at(1003)), None);
    assert!(table.is_resting(DC, route, at(1003)));
    // The one that tries it again is enough.
    let news = table.falls_silent(DC, route, at(1700));
    assert!(matches!(news, Some(News::Rests(_))));
    assert_eq!(table.passes(DC, route, at(1701)), Some(News::Back));

    let route = RouteName::Ws;
    assert_eq!(table.ends_early(DC, route, at(0)), None);
    assert_eq!(table.ends_early(DC, route, at(1)), None);
    table.answers(DC, route, at(2));
    assert_eq!(table.ends_early(DC, route, at(3)), None);
    assert_eq!(table.ends_early(DC, route, at(4)), None);
    assert!(table.ends_early(DC, route, at(5)).is_some());
}

#[test]
fn it_does_not_grow_and_keeps_what_is_used() {
    let (mut table, now) = (Table::default(), Instant::now());
    for id in 0..1000 {
        let now = now + Duration::from_millis(id);
        table.failed(
            DcId(id as i16 + 10),
            RouteName::Direct,
            RouteResult::Useless,
            now,
        );
        table.failed(DC, RouteName::Direct, RouteResult::Useless, now);
        // Asking alone leaves nothing.
        table.next(DcId(-5), &two(), &mut Tried::default(), now);
    }
    assert_eq!(table.rows.len(), MAX_ROWS);
    assert!(table.dcs().iter().any(|(dc, _)| *dc == DC));
    assert!(table.dcs().iter().all(|(dc, _)| *dc != DcId(-5)));
}

/// How a route behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Works,
    Blocked,
    Useless,
    /// It takes longer than it may.
    Slow,
    Starves,
    EndsEarly,
}

impl Weather {
    /// How long a client is held up.
    fn costs(self, has_next: bool, left: Duration) -> Duration {
        let cost = match self {
            Self::Works | Self::Useless | Self::EndsEarly => Duration::ZERO,
            Self::Blocked => Duration::from_secs(4),
            Self::Slow if has_next => Duration::from_millis(4500),
            Self::Slow => left,
            Self::Starves => Duration::from_secs(5),
        };
        cost.min(left)
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        3 => Just(Weather::Works),
        1 => Just(Weather::Blocked),
        1 => Just(Weather::Useless),
        1 => Just(Weather::Slow),
        1 => Just(Weather::Starves),
        1 => Just(Weather::EndsEarly),
    ]
}

/// A client comes, and comes again if its line is closed; by which route it is served,
/// and how long each of its searches took.
fn client(
    table: &mut Table,
    list: &RouteList,
    world: &[Weather],
    now: &mut Instant,
) -> (Option<RouteName>, Vec<Duration>) {
    let mut searches = Vec::new();
    for _ in 0..3 {
        let begun = *now;
        let mut tried = Tried::default();
        let opened = loop {
            let left = (begun + 15 * SECOND).saturating_duration_since(*now);
            if left.is_zero() {
                break None;
            }
            let Some(choice) = table.next(DC, list, &mut tried, *now) else {
                break None;
            };
            let weather = world[choice.route.index()];
            if matches!(
                weather,
                Weather::Works | Weather::Starves | Weather::EndsEarly
            ) {
                break Some((choice.route, weather));
            }
            *now += weather.costs(choice.has_next, left);
            let why = match weather {
                Weather::Blocked if left >= 4 * SECOND => RouteResult::Blocked,
                Weather::Useless => RouteResult::Useless,
                Weather::Slow if choice.has_next => RouteResult::Ill,
                _ => {
                    table.gave_up(DC, choice);
                    continue;
                }
            };
            table.failed(DC, choice.route, why, *now);
        };
        searches.push(*now - begun);
        match opened {
            Some((route, Weather::Works)) => {
                table.answers(DC, route, *now);
                table.passes(DC, route, *now);
                return (Some(route), searches);
            }
            Some((route, Weather::Starves)) => {
                let asked = *now;
                *now += 5 * SECOND;
                assert!(table.is_starved(DC, route, asked));
                table.failed(DC, route, RouteResult::Starves, *now);
            }
            Some((route, _)) => {
                table.ends_early(DC, route, *now);
            }
            None => {}
        }
    }
    (None, searches)
}

proptest! {
    /// Whatever fails in whatever way: nobody waits for long, and with a route that works
    /// a client has it, at the latest when it comes for the third time.
    #[test]
    fn whatever_fails(
        worlds in proptest::collection::vec(
            (proptest::collection::vec(weather(), 5), 0..2000u64, 1..20usize),
            1..12,
        ),
        routes in proptest::sample::subsequence(RouteName::ALL.to_vec(), 1..=5).prop_shuffle(),
    ) {
        let (mut table, list, mut now) = (Table::default(), list(&routes), Instant::now());
        for (world, pause, clients) in worlds {
            now += Duration::from_secs(pause);
            for _ in 0..clients {
                let (_, searches) = client(&mut table, &list, &world, &mut now);
                for took in searches {
                    prop_assert!(took <= 15 * SECOND, "{:?}", took);
                }
                now += SECOND;
            }
        }
    }

    /// The first route is dead, the second is not: the next is there within 5 s, later at
    /// once but for one client after each rest; and once the first works again it is used
    /// within its rest and one client.
    #[test]
    fn a_dead_first_route(
        dead in weather().prop_filter("dead", |weather| *weather != Weather::Works),
        gaps in proptest::collection::vec(1..300u64, 1..60),
    ) {
        let mut world = [Weather::Works; 5];
        world[RouteName::Direct.index()] = dead;
        let (mut table, list, mut now) = (Table::default(), two(), Instant::now());
        let (mut held_up, begun) = (0, now);
        for (index, gap) in gaps.iter().enumerate() {
            let before = now;
            let (route, _) = client(&mut table, &list, &world, &mut now);
            if dead != Weather::EndsEarly || index > 0 {
                prop_assert_eq!(route, Some(RouteName::Ws));
            }
            prop_assert!(now - before <= 5 * SECOND);
            held_up += usize::from(now > before);
            now += Duration::from_secs(*gap);
        }
        let rests = (now - begun).as_secs() / 60 + 1;
        prop_assert!(held_up as u64 <= rests);

        world[RouteName::Direct.index()] = Weather::Works;
        let Standing::Rests(rest) = table.standing(DC, RouteName::Direct, now) else {
            return Ok(());
        };
        prop_assert!(rest.left(now) <= 3600 * SECOND);
        now = rest.until;
        for _ in 0..2 {
            let (route, searches) = client(&mut table, &list, &world, &mut now);
            prop_assert_eq!(route, Some(RouteName::Direct));
            prop_assert_eq!(searches, [Duration::ZERO]);
        }
    }

    /// Against another way to say the same: of those left the least by a key.
    #[test]
    fn the_order_is_the_models(
        routes in proptest::sample::subsequence(RouteName::ALL.to_vec(), 1..=5).prop_shuffle(),
        events in proptest::collection::vec((0..6usize, 0..5usize, 0..700u64), 0..40),
    ) {
        let (mut table, list, mut now) = (Table::default(), list(&routes), Instant::now());
        let mut rests = [None::<Rest>; 5];
        let mut probes = [None::<Instant>; 5];
        let mut worked = None::<(RouteName, Instant)>;
        for (event, route, pause) in events {
            now += Duration::from_secs(pause);
            let route = RouteName::ALL[route];
            let at = route.index();
            let why = match event {
                0 => RouteResult::Blocked,
                1 => RouteResult::Useless,
                2 => RouteResult::ProxyIll,
                _ => RouteResult::Opened,
            };
            match event {
                0..=2 => {
                    table.failed(DC, route, why, now);
                    rests[at] = Some(Rest::after(rests[at], why, now));
                    probes[at] = None;
                }
                3 => {
                    table.answers(DC, route, now);
                    (rests[at], probes[at]) = (None, None);
                    worked = Some((route, now));
                }
                _ => {
                    let key = |place: usize, route: RouteName| {
                        let is_on = rests[route.index()].is_some_and(|rest| rest.is_on(now));
                        let is_probed = probes[route.index()].is_some_and(|at| now - at < PROBE);
                        let is_first = worked.is_some_and(|(last, at)| {
                            last == route && now - at < FAVOUR
                        });
                        match rests[route.index()] {
                            None => (1, usize::from(!is_first), None, place),
                            Some(rest) if is_on || is_probed => (3, 0, Some(rest.until), place),
                            Some(_) => (2, 0, None, place),
                        }
                    };
                    let keys = routes.iter().enumerate();
                    let mut keys: Vec<_> = keys.map(|(place, route)| key(place, *route)).collect();
                    keys.sort_unstable();
                    let free = keys.iter().find(|key| key.0 == 1);
                    let due = keys.iter().find(|key| key.0 == 2);
                    let expected = match (free, due) {
                        (Some(free), Some(due)) if due.3 < free.3 => due,
                        _ => &keys[0],
                    };
                    let choice = first(&mut table, &list, now);
                    prop_assert_eq!(choice.route, routes[expected.3]);
                    prop_assert_eq!(choice.is_probe, expected.0 == 2);
                    if choice.is_probe {
                        probes[choice.route.index()] = Some(now);
                    }
                }
            }
        }
    }
}

#[test]
fn who_stands_before_all_dcs_rests_for_all_of_them() {
    use RouteName::{Direct, Zone};
    let (mut table, list, now) = (Table::default(), list(&[Zone, Direct]), Instant::now());
    let next = |table: &mut Table, dc, now| {
        let choice = table.next(DcId(dc), &list, &mut Tried::default(), now);
        choice.expect("there is a route")
    };
    table.failed_for_all(Zone, RouteResult::Ill, now);
    table.failed(DC, Zone, RouteResult::Ill, now);
    for dc in [2, 4, -4] {
        assert_eq!(next(&mut table, dc, now).route, Direct);
        assert!(table.is_resting(DcId(dc), Zone, now));
    }
    // What is the only one is tried all the same.
    let alone = RouteList::from_routes(&[Zone]);
    let choice = table.next(DcId(4), &alone, &mut Tried::default(), now);
    assert_eq!(choice.map(|choice| choice.route), Some(Zone));
    assert_eq!(
        table.rows.len(),
        1,
        "nothing is kept of DCs that nothing is known of"
    );

    // One client of any DC finds out for all.
    let later = now + 60 * SECOND;
    let probe = next(&mut table, 4, later);
    assert!(probe.route == Zone && probe.is_probe);
    assert_eq!(next(&mut table, 2, later).route, Direct);
    table.gave_up(DcId(4), probe);
    let probe = next(&mut table, 5, later);
    assert!(probe.route == Zone && probe.is_probe);
    table.answers(DcId(5), Zone, later);
    let choice = next(&mut table, 4, later);
    assert!(choice.route == Zone && !choice.is_probe);
    // That of DC 2 is its own.
    assert!(next(&mut table, 2, later).is_probe);
}

#[test]
fn a_route_that_serves_others_is_not_ill_for_all() {
    use RouteName::Zone;
    let (mut table, now) = (Table::default(), Instant::now());
    assert!(!table.serves_others(DC, Zone, now));
    table.answers(DC, Zone, now);
    assert!(
        !table.serves_others(DcId(-2), Zone, now),
        "these are at one name"
    );
    assert!(table.serves_others(DcId(203), Zone, now));
    assert!(!table.serves_others(DcId(203), Zone, now + FAVOUR));
    table.failed(DC, Zone, RouteResult::Ill, now);
    assert!(!table.serves_others(DcId(203), Zone, now));
}
