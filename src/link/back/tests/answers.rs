use std::time::Duration;

use super::*;
use crate::link::connection::ALLOWANCE;
use crate::wire::link::packets::PACKET_HEADER_LEN;

#[test]
fn telegram_is_not_told_to_go_on_while_there_is_no_room() {
    let dc = Rc::<Dc>::default();
    let told = &dc.resumed;
    let (link, mut turns, _far) = House::new().driven(Rc::new(SessionOf(dc.clone())));
    let stream = open(&link, 0, &mut []).upgrade().unwrap();
    turns.take();
    let buffers = &link.connection.context.buffers;
    let _taken = take(buffers, buffers.free_bytes());
    let mut answer = [0; 1 << 17];
    stream.begin_packet(answer.len());
    stream.offer(&mut answer, ALLOWANCE);
    stream.credit(1000).unwrap();
    turns.take();
    assert_eq!(told.get(), 1);
    // All but what the next answer's header may need.
    assert_eq!(
        stream.offer(&mut answer, ALLOWANCE),
        1000 - PACKET_HEADER_LEN
    );
    for (credit, times) in [(0, 1), (1, 2)] {
        stream.credit(credit).unwrap();
        turns.take();
        assert_eq!(told.get(), times, "after credit for {credit} more");
    }
}

#[test]
fn quick_acknowledgements_are_dropped_for_who_does_not_read() {
    let link = House::new().link("a front", &Dc::stuck());
    let stream = open(&link, 0, &mut []).upgrade().unwrap();
    let waiting = |stream: &BackStream| stream.tie.connection().with_out(|out| out.len());
    let acked = |stream: &BackStream| {
        let before = waiting(stream);
        stream.quick_ack([1; 4]);
        waiting(stream) > before
    };
    assert!(acked(&stream));
    let mut answer = [0; 1 << 17];
    stream.begin_packet(answer.len());
    stream.offer(&mut answer, 0);
    assert_eq!(stream.tie.flow.credit(), 0);
    assert!(!acked(&stream), "without credit");
    stream.offer(&mut [0; 16], ALLOWANCE);
    stream.credit(1 << 20).unwrap();
    assert!(!acked(&stream), "behind what is queued");
    while stream.tie.flow.queued() > 0 {
        stream.take_turn();
    }
    assert!(acked(&stream));
    while !link.connection.is_full() {
        link.connection.send_data(7, &[], &[0; 4096]);
    }
    assert!(!acked(&stream), "while the link is full");
    drop(stream);
    link.lose();
}

/// A front whose share of what may wait here is used up: it takes nothing from the
/// link, however much credit it gives.
#[test]
fn short_buffers_are_not_to_blame_for_a_front_that_does_not_read() {
    let house = House::new();
    let (link, _turns, _far) = house.driven(Rc::new(SessionOf(Rc::default())));
    let _other = house.link("another", &Rc::default());
    let stream = |number| open(&link, number, &mut []).upgrade().unwrap();
    let first = stream(0);
    first.credit(1 << 30).unwrap();
    let room = |stream: &BackStream| {
        let share = &stream.tie.connection().share;
        share.with(|whole, user| whole.queue_room(user))
    };
    first.begin_packet(1 << 24);
    let mut answer = vec![0; 1 << 16];
    while first.offer(&mut answer, 1 << 24) == answer.len() {}
    assert!(link.connection.is_full());
    assert_eq!(room(&first), 0);
    let second = stream(1);
    second.credit(1 << 30).unwrap();
    second.begin_packet(100);
    assert_eq!(second.offer(&mut [0; 100], ALLOWANCE), 0);
    assert!(house.context.buffers.free_bytes() > 1 << 20);
    assert!(!second.taking().starved, "there are buffers");
    // It is told to go on all the same once there is room.
    link.connection.with_out(|out| out.clear());
    while first.tie.flow.queued() > 0 {
        first.take_turn();
        link.connection.with_out(|out| out.clear());
    }
    assert_eq!(second.offer(&mut [0; 100], ALLOWANCE), 100);
    // When it is for buffers, it is said.
    let _taken = take(&house.context.buffers, house.context.buffers.free_bytes());
    while !link.connection.is_full() {
        link.connection.send_data(7, &[], &[0; 4096]);
    }
    assert_eq!(second.offer(&mut [0; 100], ALLOWANCE), 0);
    assert!(second.taking().starved);
    drop((first, second));
    link.lose();
}

/// A client that has taken all that came is not the one that is waited for.
#[test]
fn who_waits_for_a_busy_link_is_not_slow() {
    let (link, mut turns, _far) = House::new().driven(Rc::new(SessionOf(Rc::default())));
    let stream = open(&link, 0, &mut []).upgrade().unwrap();
    turns.take();
    stream.credit(1 << 20).unwrap();
    while !link.connection.is_full() {
        link.connection.send_data(7, &[], &[0; 4096]);
    }
    stream.begin_packet(1 << 18);
    stream.offer(&mut [0; 1 << 18], ALLOWANCE);
    assert!(stream.tie.flow.queued() > 0);
    let before = stream.taking().last;
    let context = &link.connection.context;
    let (reactor, moment) = (&context.reactor, Duration::from_millis(40));
    reactor.block_on(&context.executor, reactor.sleep(moment));
    assert!(stream.taking().last < before + moment / 2, "nothing moves");
    link.connection.count_written(4096);
    assert!(stream.taking().last > before + moment / 2, "the link does");
    drop(stream);
    link.lose();
}
