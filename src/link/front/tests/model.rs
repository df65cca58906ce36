//! Whatever comes in whatever order: each stream is ended once, nothing is said of it
//! afterwards, a client hears of one end at most, and the bytes add up.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::backend::{Body, Packet};
use crate::link::test_link::Said;

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    /// The client leaves.
    Drop(usize),
    Push(usize, usize),
    /// It takes so much more.
    Take(usize, usize),
    /// The back sends bytes of one of its streams, as far as it may.
    Data(usize, usize),
    Credit(usize, u32),
    QuickAck(usize),
    End(usize, EndReason),
    Evict,
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..CLIENTS;
    let count = 1..1usize << 17;
    let end = prop_oneof![
        2 => Just(EndReason::ClosedByTelegram),
        1 => Just(EndReason::MidAnswer),
        1 => Just(EndReason::MiddleUnavailable),
    ];
    prop_oneof![
        5 => one.clone().prop_map(Step::Open),
        1 => one.clone().prop_map(Step::Drop),
        4 => (one.clone(), count.clone()).prop_map(|(one, count)| Step::Push(one, count)),
        4 => (one.clone(), count.clone()).prop_map(|(one, count)| Step::Take(one, count)),
        6 => (one.clone(), count).prop_map(|(one, count)| Step::Data(one, count)),
        3 => (one.clone(), 0..1u32 << 17).prop_map(|(one, bytes)| Step::Credit(one, bytes)),
        1 => one.clone().prop_map(Step::QuickAck),
        2 => (one, end).prop_map(|(one, end)| Step::End(one, end)),
        1 => Just(Step::Evict),
        6 => Just(Step::Turn),
    ]
}

/// A client that takes what it has room for.
#[derive(Default)]
struct ModelClient {
    room: Cell<usize>,
    /// Bytes that the back has sent for it, and those that it has got.
    sent: Cell<usize>,
    got: Cell<usize>,
    is_over: Cell<bool>,
}

impl Sink for ModelClient {
    fn begin_packet(&self, _: usize) {}

    fn offer(&self, data: &mut [u8], _: usize) -> usize {
        assert!(!self.is_over.get(), "bytes behind the end");
        let count = data.len().min(self.room.get());
        self.room.set(self.room.get() - count);
        self.got.set(self.got.get() + count);
        count
    }

    fn end_packet(&self) {}

    fn quick_ack(&self, _: [u8; 4]) {
        assert!(!self.is_over.get(), "a word behind the end");
    }

    fn undelivered(&self) -> usize {
        0
    }

    fn taking(&self) -> Taking {
        Client.taking()
    }

    fn end(&self, end: SessionEnd) {
        assert!(!self.is_over.replace(true), "a second end");
        if end == SessionEnd::ClosedByTelegram {
            assert_eq!(self.got.get(), self.sent.get());
        }
    }
}

/// What a back knows of a stream.
struct Known {
    client: Rc<ModelClient>,
    /// Bytes that the back may send, and the front.
    granted: usize,
    credit: usize,
    has_front_ended: bool,
    has_back_ended: bool,
}

/// A client that is there, and its session.
type Present = (Rc<ModelClient>, Box<dyn Stream>);

/// A back that keeps to the protocol, and the front's clients.
struct BackModel {
    link: Rc<FrontLink>,
    clients: [Option<Present>; CLIENTS],
    /// Whose opening the back has not heard yet.
    newest: Option<Rc<ModelClient>>,
    known: BTreeMap<u32, Known>,
}

impl BackModel {
    fn chosen(&mut self, one: usize) -> Option<(u32, &mut Known)> {
        let count = self.known.len().max(1);
        let (number, known) = self.known.iter_mut().nth(one % count)?;
        (!known.has_back_ended).then_some((*number, known))
    }

    /// Hears what the front has said.
    fn listen(&mut self) {
        let said = test_link::said(&self.link.connection);
        self.link.connection.with_out(|out| out.clear());
        for said in said {
            let (number, frame) = match said {
                Said::Data(number, count) => {
                    let known = self.known.get_mut(&number).expect("data of a stream");
                    assert!(!known.has_front_ended, "data behind the end");
                    let credit = known.credit.checked_sub(count);
                    known.credit = credit.expect("data without credit");
                    continue;
                }
                Said::Frame(Frame::Ping(_)) => continue,
                Said::Frame(Frame::Open { stream, .. }) => {
                    let known = Known {
                        client: self.newest.take().expect("one that opens"),
                        granted: self.link.connection.sizes.first as usize,
                        credit: self.link.connection.window_out as usize,
                        has_front_ended: false,
                        has_back_ended: false,
                    };
                    let before = self.known.insert(stream, known);
                    assert!(before.is_none(), "a number that is not free");
                    continue;
                }
                Said::Frame(frame @ (Frame::Credit { stream, .. } | Frame::End { stream, .. })) => {
                    (stream, frame)
                }
                Said::Frame(other) => panic!("{other:?}"),
            };
            let known = self.known.get_mut(&number).expect("a stream");
            assert!(!known.has_front_ended, "{frame:?} behind the end");
            match frame {
                Frame::Credit { bytes, .. } => known.granted += bytes as usize,
                _ if known.has_back_ended => drop(self.known.remove(&number)),
                _ => known.has_front_ended = true,
            }
        }
    }

    fn take(&mut self, step: Step) {
        // So that nothing is written at once.
        self.link.connection.send(&Frame::Ping(0));
        let link = self.link.clone();
        match step {
            Step::Open(one) => {
                if self.clients[one].is_none() {
                    let client = Rc::<ModelClient>::default();
                    let session = open_for(&link, client.clone());
                    self.newest = Some(client.clone());
                    self.clients[one] = Some((client, session));
                    self.listen();
                }
            }
            Step::Drop(one) => {
                if let Some((client, session)) = self.clients[one].take() {
                    drop(session);
                    client.is_over.set(true);
                }
            }
            Step::Push(one, count) => {
                if let Some((_, session)) = &self.clients[one] {
                    session.push(Packet {
                        quick_ack: false,
                        body: Body::Slice(&mut vec![1; count]),
                    });
                }
            }
            Step::Take(one, count) => {
                if let Some((client, session)) = &self.clients[one] {
                    client.room.set(client.room.get() + count);
                    session.resume();
                }
            }
            Step::Data(one, count) => {
                let Some((number, known)) = self.chosen(one) else {
                    return;
                };
                let count = count.min(known.granted);
                known.granted -= count;
                known.client.sent.set(known.client.sent.get() + count);
                for frame in vec![2; count].chunks_mut(1 << 14) {
                    if let Some(stream) = link.stream(number).unwrap() {
                        stream.receive(frame).unwrap();
                        link.evict_largest();
                    }
                }
            }
            Step::Credit(one, bytes) => {
                if let Some((number, known)) = self.chosen(one) {
                    known.credit += bytes as usize;
                    if let Some(stream) = link.stream(number).unwrap() {
                        stream.credit(bytes).unwrap();
                    }
                }
            }
            Step::QuickAck(one) => {
                if let Some((stream, _)) = self.chosen(one) {
                    let token = [1; 4];
                    link.frame(Frame::QuickAck { stream, token }).unwrap();
                }
            }
            Step::End(one, reason) => {
                if let Some((stream, known)) = self.chosen(one) {
                    known.has_back_ended = true;
                    if known.has_front_ended {
                        self.known.remove(&stream);
                    }
                    link.frame(Frame::End { stream, reason }).unwrap();
                }
            }
            Step::Evict => {
                if let Some(largest) = link.largest() {
                    largest.evict();
                }
            }
            Step::Turn => {
                let cx = &mut Context::from_waker(Waker::noop());
                link.look_again(cx).unwrap();
                while let Some(number) = link.connection.next_turn() {
                    // It may be gone since it asked for one.
                    if let Ok(Some(stream)) = link.stream(number) {
                        stream.take_turn();
                    }
                }
                self.listen();
            }
        }
    }

    fn held(&self) -> usize {
        let share = &self.link.connection.share;
        share.with(|whole, user| whole.held_by(user))
    }

    fn check(&self) {
        let waiting = self
            .known
            .values()
            .filter(|known| !known.client.is_over.get());
        let waiting = waiting.map(|known| known.client.sent.get() - known.client.got.get());
        assert_eq!(self.held(), waiting.sum::<usize>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_stream_ends_once_and_the_bytes_add_up(
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let mut back = BackModel {
            link: FrontLink::new(Weak::<Front>::new(), test_link::connection()),
            clients: Default::default(),
            newest: None,
            known: BTreeMap::new(),
        };
        for step in steps {
            back.take(step);
            back.check();
        }
        // Who was closed is gone after a turn, and so is who leaves.
        back.take(Step::Turn);
        let over = back.known.values().filter(|known| known.client.is_over.get());
        prop_assert!(over.into_iter().all(|known| known.has_front_ended));
        (0..CLIENTS).for_each(|one| back.take(Step::Drop(one)));
        back.take(Step::Turn);
        prop_assert!(back.known.values().all(|known| known.has_front_ended));
        while !back.known.is_empty() {
            back.take(Step::End(0, EndReason::ClientLeft));
        }
        back.listen();
        prop_assert_eq!((back.link.load(), back.held()), (0, 0));
        let context = &back.link.connection.context;
        prop_assert_eq!(context.buffers.used_bytes(), 0);
        prop_assert_eq!(context.metrics.link_streams.get(), 0);
    }
}
