use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::backend::{Opening, Packet, SessionEnd, Sink, Stream};
use crate::link::back::line::LineEnd;
use crate::link::test_link::{self, Turns};
use crate::net::{BufferPool, CHUNK_LEN, Rope};
use crate::wire::dc::DcId;
use crate::wire::link::data_header;
use crate::wire::link::packets::{PACKET_HEADER_LEN, packet_header};
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

/// A Telegram that takes nothing.
struct Stuck;

impl Backend for Stuck {
    fn open(&self, _: SessionRequest, _: Rc<dyn Sink>) -> Opening<'_> {
        Box::pin(async { Ok(Session::Packets(Box::new(Stuck))) })
    }
}

impl Stream for Stuck {
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn push(&self, _: Packet<'_>) {}

    fn resume(&self) {}
}

fn stuck_link() -> Rc<BackLink> {
    BackLink::new(Rc::new(Stuck), Rc::default(), test_link::connection())
}

/// Takes so many bytes of the buffers.
fn take(buffers: &Rc<BufferPool>, bytes: usize) -> Rope {
    let mut rope = Rope::default();
    assert_eq!(rope.append(buffers, &vec![0; bytes]), bytes);
    rope
}

/// Opens a stream and hands it the bytes.
fn open(link: &Rc<BackLink>, number: u32, bytes: &mut [u8]) -> Weak<BackStream> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let open = Open {
        route: OpenRoute::Middle,
        dc: DcId(2),
        transport: Transport::Padded,
        client: nobody,
        local: nobody,
        tag: None,
    };
    link.open(number, open).unwrap();
    let stream = link.live(number).unwrap();
    stream.receive(bytes).unwrap();
    Rc::downgrade(&stream)
}

#[test]
fn who_leaves_does_not_wait_for_telegram_any_more() {
    let link = stuck_link();
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
    assert_eq!(link.held.get(), 0);
}

#[test]
fn who_leaves_does_not_wait_for_buffers_any_more() {
    let link = stuck_link();
    let buffers = link.connection.context.buffers.clone();
    let free = buffers.free_bytes();
    let taken = take(&buffers, free - CHUNK_LEN);
    let mut cx = Context::from_waker(Waker::noop());
    let large = packet_header(1 << 20, false);
    let streams = [0, 1, 2].map(|number| open(&link, number, &mut large.clone()));
    link.poll_reservations(&mut cx);
    assert!(link.reservation.borrow().is_some());
    for (gone, left) in [(1, &[0, 2][..]), (0, &[2])] {
        link.ended_by_front(gone).unwrap();
        let waiting = link.reserving.borrow();
        let waiting: Vec<_> = waiting.iter().map(|wish| wish.number).collect();
        assert_eq!(waiting, left);
        assert_eq!(streams[gone as usize].strong_count(), 0);
    }
    // Nothing is held for those who have left.
    link.poll_reservations(&mut cx);
    drop(taken);
    link.poll_reservations(&mut cx);
    assert!(link.reserving.borrow().is_empty());
    assert!(buffers.free_bytes() < free);
    link.lose();
    link.connection.with_out(|out| out.clear());
    assert_eq!(buffers.free_bytes(), free);
    assert_eq!(buffers.claims().waiters, 0);
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
    let (connection, driver, mut far) = test_link::driven();
    let link = BackLink::new(backend, Rc::default(), connection.clone());
    let mut turns = Turns::new(driver, link.clone());
    let stream = open(&link, 0, &mut []);
    turns.take();
    connection.send(&Frame::Ping(1));
    far.write_all(&data_header(0, bytes.len())).unwrap();
    far.write_all(bytes).unwrap();
    test_link::look(&connection);
    turns.take();
    (link, stream)
}

#[test]
fn a_large_packet_gets_its_buffers_without_another_frame() {
    let (link, stream) = comes_late(Rc::new(Stuck), &packet_header(1 << 20, false));
    assert!(link.reserving.borrow().is_empty());
    assert!(!stream.upgrade().unwrap().is_waiting_for(1));
}

#[test]
fn a_session_that_ends_while_its_packet_is_taken_is_dropped_without_another_frame() {
    let packet = [&packet_header(8, false)[..], &[1; 8]].concat();
    let (_link, stream) = comes_late(Rc::new(Ending(None.into())), &packet);
    assert_eq!(stream.strong_count(), 0);
}

const ALLOWANCE: usize = 64 * 1024;

/// A Telegram that counts how often it is told to go on.
struct Eager(Rc<Cell<usize>>);

impl Backend for Eager {
    fn open(&self, _: SessionRequest, _: Rc<dyn Sink>) -> Opening<'_> {
        let session = Box::new(Eager(self.0.clone()));
        Box::pin(async { Ok(Session::Packets(session)) })
    }
}

impl Stream for Eager {
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn push(&self, _: Packet<'_>) {}

    fn resume(&self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn telegram_is_not_told_to_go_on_while_there_is_no_room() {
    let told = Rc::new(Cell::new(0));
    let (connection, driver, _far) = test_link::driven();
    let link = BackLink::new(Rc::new(Eager(told.clone())), Rc::default(), connection);
    let mut turns = Turns::new(driver, link.clone());
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
    let link = stuck_link();
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
