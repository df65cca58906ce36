use super::*;
use crate::net::CHUNK_LEN;
use crate::wire::link::packets::{PACKET_HEADER_LEN, packet_header};

/// The beginning of a large packet: as much as comes without more credit.
fn large_packet() -> Vec<u8> {
    let mut bytes = vec![1; 1 << 15];
    bytes[..PACKET_HEADER_LEN].copy_from_slice(&packet_header(LARGE as usize, false));
    bytes
}

const LARGE: u32 = 1 << 20;

#[test]
fn who_leaves_does_not_wait_for_buffers_any_more() {
    let link = House::new().link("a front", &Rc::default());
    let buffers = link.connection.context.buffers.clone();
    // Each may have sent so much of its packet.
    let sent = large_packet();
    let taken = take(&buffers, buffers.free_bytes() - 4 * CHUNK_LEN);
    let streams = [0, 1, 2, 3].map(|number| open(&link, number, &mut sent.clone()));
    turn(&link);
    for number in [0, 1] {
        let stream = link.live(number).unwrap();
        stream.receive(&mut sent.clone()[..1 << 14]).unwrap();
    }
    let waiting = |link: &BackLink| -> [Vec<u32>; 2] {
        let wishes = link.wishes.borrow();
        let wishes = wishes.iter().map(|wish| wish.number);
        [link.large.borrow().clone(), wishes.collect()]
    };
    assert_eq!(waiting(&link), [vec![0, 1], vec![2, 3]]);
    assert_eq!(buffers.claims().waiters, 2);
    for (gone, left) in [
        (3, [vec![0, 1], vec![2]]),
        (0, [vec![1, 2], vec![]]),
        (1, [vec![2], vec![]]),
    ] {
        link.ended_by_front(gone).unwrap();
        turn(&link);
        assert_eq!(waiting(&link), left);
        assert_eq!(streams[gone as usize].strong_count(), 0);
    }
    // Nothing is held for those who have left.
    assert_eq!((buffers.claims().bytes, buffers.claims().waiters), (0, 0));
    drop(taken);
    let stream = link.live(2).unwrap();
    stream.receive(&mut sent.clone()[..1 << 14]).unwrap();
    drop(stream);
    assert!(buffers.claims().bytes > 0);
    link.lose();
    link.connection.with_out(|out| out.clear());
    assert_eq!((buffers.used_bytes(), buffers.claims().bytes), (0, 0));
}

#[test]
fn a_large_packet_gets_its_buffers_without_another_frame() {
    let backend = Rc::new(SessionOf(Rc::default()));
    let bytes = large_packet();
    let (link, _) = comes_late(backend, &bytes[..1 << 14]);
    assert_eq!(link.connection.context.buffers.claims().bytes, 0);
    let backend = Rc::new(SessionOf(Rc::default()));
    let (link, _) = comes_late(backend, &bytes);
    assert!(link.wishes.borrow().is_empty());
    assert!(link.connection.context.buffers.claims().bytes > 0);
}

#[test]
fn a_large_packet_gets_no_credit_while_its_session_takes_nothing() {
    let dc = Dc::stuck();
    let link = House::new().link("a front", &dc);
    let buffers = link.connection.context.buffers.clone();
    let stream = open(&link, 0, &mut large_packet()).upgrade().unwrap();
    let mut sent = 1 << 15;
    let mut credited = 1 << 16;
    for _ in 0..3 {
        turn(&link);
        assert_eq!((credit(&link, 0), buffers.claims().bytes), (0, 0));
    }
    dc.take_more();
    turn(&link);
    // Once it has begun it comes to its end, whatever the session says.
    dc.is_stuck.set(true);
    let whole = LARGE + PACKET_HEADER_LEN as u32;
    while dc.took.get() == 0 {
        credited += credit(&link, 0);
        let count = (credited - sent).min(whole - sent).min(1 << 14);
        assert!(count > 0, "stuck at {sent}");
        stream.receive(&mut vec![1; count as usize]).unwrap();
        sent += count;
        turn(&link);
    }
    assert_eq!((dc.took.get() as u32, sent), (LARGE, whole));
    assert_eq!(buffers.claims().bytes, 0);
    // The next one waits again.
    stream.receive(&mut large_packet()).unwrap();
    turn(&link);
    assert_eq!((credit(&link, 0), buffers.claims().bytes), (0, 0));
    drop(stream);
    link.lose();
    assert_eq!(held(&link), 0);
}

#[test]
fn a_packet_that_is_only_announced_takes_nothing() {
    let link = House::new().link("a front", &Rc::default());
    let buffers = link.connection.context.buffers.clone();
    for number in 0..70 {
        open(&link, number, &mut packet_header(LARGE as usize, false));
    }
    turn(&link);
    let claims = buffers.claims();
    assert_eq!((claims.bytes, claims.waiters), (0, 0));
    link.lose();
}

#[test]
fn a_stream_that_stalls_in_a_packet_gives_way_to_who_waits() {
    let house = House::new();
    let [bad, good] = ["bad", "good"].map(|front| house.link(front, &Rc::default()));
    let buffers = house.context.buffers.clone();
    // Room for one of the two, but not for what the other has begun too.
    let _taken = take(
        &buffers,
        buffers.free_bytes() - LARGE as usize - (1 << 16) - 3 * CHUNK_LEN,
    );
    let send = |link: &Rc<BackLink>, count| {
        let stream = link.live(0).unwrap();
        (0..count).for_each(|_| stream.receive(&mut [1; 1 << 14]).unwrap());
    };
    let stalled = open(&bad, 0, &mut large_packet());
    turn(&bad);
    send(&bad, 3);
    assert!(buffers.claims().bytes > 0);
    let reactor = house.context.reactor.clone();
    let fair = buffers.clone();
    let clock = reactor.clone();
    let executor = &house.context.executor;
    executor
        .spawn(async move { fair.keep_fair(&clock).await })
        .detach();
    open(&good, 0, &mut large_packet());
    turn(&good);
    send(&good, 1);
    assert_eq!(buffers.claims().waiters, 1);
    reactor.block_on(executor, async {
        while credit(&good, 0) == 0 {
            reactor.sleep(std::time::Duration::from_millis(5)).await;
            turn(&bad);
            turn(&good);
        }
    });
    assert_eq!(stalled.strong_count(), 0);
    assert!(frames(&bad).contains(&Frame::End {
        stream: 0,
        reason: EndReason::TooSlow
    }));
    for link in [bad, good] {
        link.lose();
    }
}

#[test]
fn packets_to_one_dc_do_not_hold_up_those_to_another() {
    let link = House::new().link("a front", &Rc::default());
    for (number, dc) in [(0, 2), (1, 2), (2, 2), (3, 4), (4, 2)] {
        open_to(dc, &link, number, &mut large_packet());
    }
    turn(&link);
    let waiting = |link: &BackLink| -> Vec<u32> {
        let wishes = link.wishes.borrow();
        wishes.iter().map(|wish| wish.number).collect()
    };
    assert_eq!(waiting(&link), [2, 4]);
    link.ended_by_front(0).unwrap();
    turn(&link);
    assert_eq!(waiting(&link), [4]);
    link.lose();
}
