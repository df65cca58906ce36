use super::*;
use crate::wire::link::packets::packet_header;

#[test]
fn who_holds_most_over_its_share_gives_way_on_whichever_link_it_is() {
    let (house, dc) = (House::new(), Dc::stuck());
    let [greedy, same, modest] = ["greedy", "greedy", "modest"].map(|front| house.link(front, &dc));
    let limit = house.context.buffers.total_bytes() / 2;
    let packet = [
        &packet_header((1 << 14) - 4, false)[..],
        &[1; (1 << 14) - 4],
    ]
    .concat();
    let packet = packet.repeat(2);
    let send = |link: &Rc<BackLink>, number| {
        if link.live(number).is_none() {
            open(link, number, &mut packet.clone());
        } else {
            link.live(number)
                .unwrap()
                .receive(&mut packet.clone())
                .unwrap();
        }
        link.evict_largest();
    };
    // Some of the greedy front's on either of its links, one of them with more.
    send(&same, 0);
    same.live(0)
        .unwrap()
        .receive(&mut packet.clone()[..1 << 14])
        .unwrap();
    let mut number = 0;
    while held(&greedy) + (1 << 16) < limit {
        send([&greedy, &same][number as usize % 2], 1 + number);
        number += 1;
    }
    // What comes for the other front is too much.
    let evicted = || house.context.metrics.link_evictions.get();
    for number in 0..8 {
        assert_eq!(evicted() > 0, same.live(0).is_none());
        send(&modest, number);
    }
    assert!(evicted() >= 3, "{}", evicted());
    assert!((0..8).all(|number| modest.live(number).is_some()));
    assert!(held(&modest) + held(&greedy) <= limit);
    let links = [greedy, same, modest];
    for link in &links {
        link.lose();
    }
    assert!(links.iter().all(|link| held(link) == 0));
}

#[test]
fn a_front_gets_its_share_of_places_and_what_others_leave() {
    let (house, dc) = (House::new(), Rc::<Dc>::default());
    let first = house.link("first", &dc);
    let streams = house.context.places.streams as u32;
    let mut given = 0;
    for number in 0..streams {
        first.open(number, opening(2)).unwrap();
        given += u32::from(first.live(number).is_some());
    }
    assert!(given >= streams * 7 / 8 && given < streams, "{given}");
    let refused = |link: &BackLink| {
        let frames = frames(link).into_iter();
        let ends = frames.filter(|frame| {
            matches!(frame, Frame::End { reason, .. } if *reason == EndReason::NoConnection)
        });
        ends.count() as u32
    };
    assert_eq!(refused(&first), streams - given);
    assert_eq!(
        house.context.metrics.link_refusals.get() as u32,
        streams - given
    );
    // Another front gets half of them, the newest of the first one's if need be.
    let second = house.link("second", &dc);
    for number in 0..streams {
        second.open(number, opening(2)).unwrap();
    }
    let served = (0..streams).filter(|number| second.live(*number).is_some());
    assert_eq!(served.count() as u32, streams / 2);
    assert!(first.live(0).is_some() && first.live(given - 1).is_none());
    assert!(refused(&first) > 0);
    for link in [first, second] {
        link.lose();
    }
    let third = house.link("first", &dc);
    third.open(0, opening(2)).unwrap();
    assert!(third.live(0).is_some());
    third.lose();
}

#[test]
fn a_front_that_never_says_that_streams_end_loses_its_link() {
    let (house, dc) = (House::new(), Rc::<Dc>::default());
    let link = house.link("a front", &dc);
    let opened = (0..8192).position(|number| link.open(number, opening(2)).is_err());
    assert!(opened.is_some_and(|opened| opened > 4000), "{opened:?}");
    link.lose();
}

#[test]
fn links_are_shared_too() {
    let (house, dc) = (House::new(), Rc::<Dc>::default());
    let lives = |link: &Rc<BackLink>| link.connection.take_fault().is_none();
    let many: Vec<_> = (0..256).map(|_| house.link("many", &dc)).collect();
    let kept = many.iter().filter(|link| lives(link)).count();
    assert!((224..256).contains(&kept), "{kept}");
    let other = house.link("other", &dc);
    assert!(lives(&other));
}
