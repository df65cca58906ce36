use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Weak;
use std::task::Poll;

use super::*;
use crate::backend::{Opening, Packet, SessionEnd, Sink, Stream};
use crate::link::LinkContext;
use crate::link::back::line::LineEnd;
use crate::link::test_link::{self, Turns};
use crate::net::{BufferPool, CHUNK_LEN, Rope};
use crate::wire::dc::DcId;
use crate::wire::link::packets::{PACKET_HEADER_LEN, packet_header};
use crate::wire::link::{Event, data_header};
use crate::wire::transport::Transport;

fn future<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// An idle client costs the back these, and on each its allocator's word.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_stream_is_small() {
    assert!(size_of::<BackStream>() <= 152);
    assert!(size_of::<LineEnd>() <= 120);
    // Not of an idle one, but there may be many at once.
    assert!(future(open_session) <= 256);
}

/// A Telegram that takes something or nothing, and counts it.
#[derive(Default)]
struct Dc {
    is_stuck: Cell<bool>,
    took: Cell<usize>,
    /// How often it was told to go on.
    resumed: Cell<usize>,
    waiting: Cell<Option<Waker>>,
}

impl Dc {
    fn stuck() -> Rc<Self> {
        let dc = Rc::new(Self::default());
        dc.is_stuck.set(true);
        dc
    }

    fn take_more(&self) {
        self.is_stuck.set(false);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

struct SessionOf(Rc<Dc>);

impl Backend for SessionOf {
    fn open(&self, _: SessionRequest, _: Rc<dyn Sink>) -> Opening<'_> {
        let session = Box::new(SessionOf(self.0.clone()));
        Box::pin(async { Ok(Session::Packets(session)) })
    }
}

impl Stream for SessionOf {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.0.is_stuck.get() {
            return Poll::Ready(());
        }
        self.0.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn push(&self, packet: Packet<'_>) {
        let length = match packet.body {
            crate::backend::Body::Slice(slice) => slice.len(),
            crate::backend::Body::Rope(rope) => rope.len(),
        };
        self.0.took.set(self.0.took.get() + length);
    }

    fn resume(&self) {
        self.0.resumed.set(self.0.resumed.get() + 1);
    }
}

/// A back and its fronts.
struct House {
    context: Rc<LinkContext>,
    fronts: Rc<Fronts>,
}

impl House {
    fn new() -> Self {
        let context = Rc::new(test_link::context());
        Self {
            fronts: Fronts::new(&context),
            context,
        }
    }

    /// Another link of a front.
    fn link(&self, front: &str, dc: &Rc<Dc>) -> Rc<BackLink> {
        let account = self.fronts.account(front);
        self.over(test_link::connection_of(&self.context, account), dc)
    }

    fn over(&self, connection: Rc<Connection>, dc: &Rc<Dc>) -> Rc<BackLink> {
        let backend = Rc::new(SessionOf(dc.clone()));
        let link = BackLink::new(backend, &self.fronts, connection);
        self.fronts.add(&link);
        link
    }

    fn driven(&self, backend: Rc<dyn Backend>) -> (Rc<BackLink>, Turns, UnixStream) {
        let account = self.fronts.account("a front");
        let (connection, driver, far) = test_link::driven_of(&self.context, account);
        let link = BackLink::new(backend, &self.fronts, connection);
        self.fronts.add(&link);
        let turns = Turns::new(driver, link.clone());
        (link, turns, far)
    }
}

/// Bytes that the front of the link holds.
fn held(link: &BackLink) -> usize {
    let account = &link.connection.account;
    account.with(|whole, user| whole.held_by(user))
}

fn opening(dc: i16) -> Open {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Open {
        route: OpenRoute::Middle,
        dc: DcId(dc),
        transport: Transport::Padded,
        client: nobody,
        local: nobody,
        tag: None,
    }
}

/// Opens a stream and hands it the bytes.
fn open(link: &Rc<BackLink>, number: u32, bytes: &mut [u8]) -> Weak<BackStream> {
    open_to(2, link, number, bytes)
}

fn open_to(dc: i16, link: &Rc<BackLink>, number: u32, bytes: &mut [u8]) -> Weak<BackStream> {
    link.open(number, opening(dc)).unwrap();
    let stream = link.live(number).unwrap();
    stream.receive(bytes).unwrap();
    Rc::downgrade(&stream)
}

/// Frames that wait to be sent.
fn frames(link: &BackLink) -> Vec<Frame> {
    let mut bytes = link.connection.with_out(|out| {
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        out.clear();
        bytes
    });
    let mut decoder = test_link::greeted();
    let mut input = bytes.as_mut_slice();
    let mut found = Vec::new();
    while let Some(event) = decoder.next(&mut input).unwrap() {
        if let Event::Frame(frame) = event {
            found.push(frame);
        }
    }
    found
}

/// Credit that a stream was given meanwhile.
fn credit(link: &BackLink, of: u32) -> u32 {
    let frames = frames(link).into_iter().map(|frame| match frame {
        Frame::Credit { stream, bytes } if stream == of => bytes,
        _ => 0,
    });
    frames.sum()
}

fn turn(link: &Rc<BackLink>) {
    let cx = &mut Context::from_waker(Waker::noop());
    link.look_again(cx).unwrap();
}

#[test]
fn who_leaves_does_not_wait_for_telegram_any_more() {
    let link = House::new().link("a front", &Dc::stuck());
    let packet = [&packet_header(8, false)[..], &[1; 8]].concat();
    let streams = [0, 1].map(|number| open(&link, number, &mut packet.clone()));
    assert_eq!(link.stalled.borrow().len(), 2);
    link.ended_by_front(0).unwrap();
    assert_eq!(*link.stalled.borrow(), [1]);
    assert_eq!(streams[0].strong_count(), 0);
    assert_eq!(streams[1].strong_count(), 1);
    // The number is another one's now.
    open(&link, 0, &mut packet.clone());
    assert_eq!(link.stalled.borrow().len(), 2);
    assert_eq!(link.lose(), 2);
    assert_eq!(held(&link), 0);
}

/// Takes so many bytes of the buffers.
fn take(buffers: &Rc<BufferPool>, bytes: usize) -> Rope {
    let mut rope = Rope::default();
    assert_eq!(rope.append(buffers, &vec![0; bytes]), bytes);
    rope
}

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

/// A Telegram that ends a session at its first packet.
struct Ending(RefCell<Option<Rc<dyn Sink>>>);

impl Backend for Ending {
    fn open(&self, _: SessionRequest, sink: Rc<dyn Sink>) -> Opening<'_> {
        let session = Box::new(Ending(Some(sink).into()));
        Box::pin(async { Ok(Session::Packets(session)) })
    }
}

impl Stream for Ending {
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn push(&self, _: Packet<'_>) {
        if let Some(sink) = self.0.take() {
            sink.end(SessionEnd::MidSend);
        }
    }

    fn resume(&self) {}
}

/// What comes after the task was woken by something else than the socket.
fn comes_late(backend: Rc<dyn Backend>, bytes: &[u8]) -> (Rc<BackLink>, Weak<BackStream>) {
    let (link, mut turns, mut far) = House::new().driven(backend);
    let stream = open(&link, 0, &mut []);
    turns.take();
    link.connection.send(&Frame::Ping(1));
    for bytes in bytes.chunks(1 << 14) {
        far.write_all(&data_header(0, bytes.len())).unwrap();
        far.write_all(bytes).unwrap();
    }
    test_link::look(&link.connection);
    turns.take();
    (link, stream)
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
fn a_session_that_ends_while_its_packet_is_taken_is_dropped_without_another_frame() {
    let packet = [&packet_header(8, false)[..], &[1; 8]].concat();
    let (_link, stream) = comes_late(Rc::new(Ending(None.into())), &packet);
    assert_eq!(stream.strong_count(), 0);
}

const ALLOWANCE: usize = 64 * 1024;

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
    let waiting = |link: &BackLink| link.connection.with_out(|out| out.len());
    let acked = |stream: &BackStream| {
        let before = waiting(&stream.link);
        stream.quick_ack([1; 4]);
        waiting(&stream.link) > before
    };
    assert!(acked(&stream));
    let mut answer = [0; 1 << 17];
    stream.begin_packet(answer.len());
    stream.offer(&mut answer, 0);
    assert_eq!(stream.flow.credit(), 0);
    assert!(!acked(&stream), "without credit");
    stream.offer(&mut [0; 16], ALLOWANCE);
    stream.credit(1 << 20).unwrap();
    assert!(!acked(&stream), "behind what is queued");
    while stream.flow.queued() > 0 {
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
        link.relieve();
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
