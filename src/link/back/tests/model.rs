//! Whatever comes in whatever order: each stream leaves once, nothing is said of it
//! afterwards, no list holds one that is gone, and the bytes add up.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::backend::SessionEnd;
use crate::link::connection::ALLOWANCE;
use crate::link::test_link::Said;
use crate::wire::link::packets::packet_header;

const STREAMS: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// Some of what the front has to send for a stream, as far as it has credit.
    Receive(u32, usize),
    /// Telegram's side takes nothing, or all.
    Stall(bool),
    /// The stream ends by itself.
    Leave(u32),
    /// The front ends it.
    LeaveByFront(u32),
    /// It gives way to another front.
    Evict(u32),
    /// Its buffers are for others.
    Revoke(u32),
    /// Telegram's side has an answer, or its end; or it says so while it is asked for
    /// something.
    Say(u32, Word),
    SayInside(Word),
    /// The front takes so much more.
    Credit(u32, u32),
    /// So many of the buffers are taken by others.
    Take(usize),
    /// There may be buffers again.
    Room,
    Tick,
    Turn,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Answer(usize),
    QuickAck,
    End(SessionEnd),
}

impl Word {
    fn say(self, sink: &dyn Sink) {
        match self {
            Self::Answer(length) => {
                sink.begin_packet(length);
                sink.offer(&mut vec![2; length], ALLOWANCE);
                sink.end_packet();
            }
            Self::QuickAck => sink.quick_ack([1; 4]),
            Self::End(end) => sink.end(end),
        }
    }
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => (1..1usize << 16).prop_map(Word::Answer),
        1 => Just(Word::QuickAck),
        1 => Just(Word::End(SessionEnd::ClosedByTelegram)),
        1 => Just(Word::End(SessionEnd::MidSend)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..STREAMS;
    prop_oneof![
        10 => (number.clone(), 1..1usize << 16).prop_map(|(number, count)| Step::Receive(number, count)),
        3 => any::<bool>().prop_map(Step::Stall),
        1 => number.clone().prop_map(Step::Leave),
        1 => number.clone().prop_map(Step::LeaveByFront),
        1 => number.clone().prop_map(Step::Evict),
        1 => number.clone().prop_map(Step::Revoke),
        3 => (number.clone(), word()).prop_map(|(number, word)| Step::Say(number, word)),
        2 => word().prop_map(Step::SayInside),
        3 => (number, 0..1u32 << 17).prop_map(|(number, bytes)| Step::Credit(number, bytes)),
        1 => (0..64usize).prop_map(Step::Take),
        2 => Just(Step::Room),
        1 => Just(Step::Tick),
        6 => Just(Step::Turn),
    ]
}

/// What a front knows of one of its streams.
struct Known {
    stream: Weak<BackStream>,
    credit: usize,
    sent: usize,
    first: usize,
    /// Bytes that the back may send.
    granted: usize,
    has_ended: bool,
}

/// A front that keeps to the protocol.
struct FrontModel {
    link: Rc<BackLink>,
    dc: Rc<Dc>,
    /// By number; of those that the back has not ended, or the front not.
    known: HashMap<u32, Known>,
    taken: Rope,
    lens: Vec<usize>,
    opened: usize,
    ended: usize,
}

impl FrontModel {
    fn known(&mut self, number: u32) -> &mut Known {
        if !self.known.contains_key(&number) {
            let stream = open(&self.link, number, &mut []);
            let first = self.link.connection.sizes.first as usize;
            self.opened += 1;
            self.known.insert(
                number,
                Known {
                    stream,
                    credit: first,
                    sent: 0,
                    first,
                    granted: self.link.connection.window_out as usize,
                    has_ended: false,
                },
            );
        }
        self.known.get_mut(&number).unwrap()
    }

    /// Sends the next bytes of packets that are small and large in turn.
    fn receive(&mut self, number: u32, count: usize) {
        let lens = self.lens.clone();
        let known = self.known(number);
        let count = count.min(known.credit);
        if known.has_ended || count == 0 {
            return;
        }
        let mut bytes = Vec::new();
        let (mut at, mut packet) = (0, 0);
        while at < known.sent + count {
            let len = lens[packet % lens.len()];
            let header = packet_header(len, false);
            let end = at + header.len() + len;
            for place in at.max(known.sent)..end.min(known.sent + count) {
                bytes.push(*header.get(place - at).unwrap_or(&1));
            }
            (at, packet) = (end, packet + 1);
        }
        known.credit -= count;
        known.sent += count;
        if let Some(stream) = self.link.find(number).unwrap() {
            for frame in bytes.chunks_mut(1 << 14) {
                stream.receive(frame).unwrap();
            }
        }
        self.link.evict_largest();
    }

    /// Reads what the back has said.
    fn listen(&mut self) {
        let said = test_link::said(&self.link.connection);
        self.link.connection.with_out(|out| out.clear());
        for said in said {
            let frame = match said {
                Said::Frame(frame) => frame,
                Said::Data(stream, count) => {
                    let known = self.known.get_mut(&stream).expect("data of a stream");
                    assert!(!known.has_ended, "data behind the end");
                    let granted = known.granted.checked_sub(count);
                    known.granted = granted.expect("data without credit");
                    continue;
                }
            };
            match frame {
                Frame::Ping(_) => {}
                Frame::QuickAck { stream, .. } => {
                    let known = self.known.get_mut(&stream).expect("the word of a stream");
                    assert!(!known.has_ended, "a word behind the end");
                }
                Frame::Credit { stream, bytes } => {
                    let known = self.known.get_mut(&stream).expect("credit of a stream");
                    assert!(!known.has_ended, "credit behind the end");
                    known.credit += bytes as usize;
                }
                Frame::End { stream, .. } => {
                    let known = self.known.get_mut(&stream).expect("the end of a stream");
                    assert!(!known.has_ended, "a second end");
                    known.has_ended = true;
                    self.ended += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers the ends with its own: the numbers are free.
    fn answer(&mut self) {
        let ended = self.known.iter().filter(|(_, known)| known.has_ended);
        let ended: Vec<u32> = ended.map(|(number, _)| *number).collect();
        for number in ended {
            self.link.ended_by_front(number).unwrap();
            self.known.remove(&number);
        }
    }

    fn take(&mut self, step: Step) {
        let live = |link: &BackLink, number| link.live(number);
        match step {
            Step::Receive(number, count) => self.receive(number, count),
            Step::Stall(true) => self.dc.is_stuck.set(true),
            Step::Stall(false) => self.dc.take_more(),
            Step::Leave(number) => {
                if let Some(stream) = live(&self.link, number) {
                    stream.end(SessionEnd::MidAnswer);
                }
            }
            Step::LeaveByFront(number) => {
                let is_open = self
                    .known
                    .get(&number)
                    .is_some_and(|known| !known.has_ended);
                if is_open {
                    self.link.ended_by_front(number).unwrap();
                    self.listen();
                    let known = self.known.remove(&number).unwrap();
                    assert!(known.has_ended, "it answers at once");
                }
            }
            Step::Evict(number) => {
                if live(&self.link, number).is_some() {
                    Holder::end(&*self.link, number, EndReason::TooSlow);
                }
            }
            Step::Revoke(number) => {
                if let Some(stream) = live(&self.link, number) {
                    stream
                        .tie
                        .lose_buffers(crate::metrics::Revocation::Blocking);
                }
            }
            Step::Say(number, word) => {
                if let Some(stream) = live(&self.link, number) {
                    self.link.connection.send(&Frame::Ping(0));
                    word.say(&*stream);
                }
            }
            Step::SayInside(word) => {
                self.link.connection.send(&Frame::Ping(0));
                let say = Box::new(move |sink: &dyn Sink| word.say(sink));
                self.dc.says.set(Some(say));
            }
            Step::Credit(number, bytes) => {
                let known = self.known(number);
                known.granted += bytes as usize;
                if let Some(stream) = live(&self.link, number) {
                    stream.credit(bytes).unwrap();
                }
            }
            Step::Take(chunks) => {
                let buffers = self.link.connection.context.buffers.clone();
                self.taken = Rope::default();
                self.taken.append(&buffers, &vec![0; chunks << 16]);
            }
            Step::Room => self.link.desk.buffers_waker.wake_by_ref(),
            Step::Tick => self.link.tick(),
            Step::Turn => {
                turn(&self.link);
                while let Some(number) = self.link.connection.next_turn() {
                    if let Some(stream) = live(&self.link, number) {
                        stream.take_turn();
                    }
                }
                self.listen();
                self.answer();
            }
        }
    }

    fn check(&self) {
        let link = &self.link;
        let mut here = 0;
        for (number, known) in &self.known {
            let Some(stream) = known.stream.upgrade() else {
                assert!(known.has_ended || link.live(*number).is_none());
                continue;
            };
            let flow = &stream.tie.flow;
            here += flow.held();
            if !known.has_ended && !stream.tie.is_over() {
                // What was given and what came make what is still granted.
                let waiting = unsent_credit(link, *number);
                assert_eq!(flow.granted().0, known.credit + waiting);
                assert!(known.credit + known.sent >= known.first);
            }
        }
        assert_eq!(held(link), here);
        let lists = [
            link.stalled.borrow().clone(),
            link.large.borrow().clone(),
            link.wishes
                .borrow()
                .iter()
                .map(|wish| wish.number)
                .collect(),
        ];
        for list in lists {
            for (at, number) in list.iter().enumerate() {
                assert!(!list[..at].contains(number), "twice in a list");
                let slots = link.streams.borrow();
                assert!(
                    matches!(slots.get(number), Some(StreamSlot::Live(_))),
                    "{number} is gone"
                );
            }
        }
    }
}

/// Credit of a stream that waits to be sent.
fn unsent_credit(link: &BackLink, of: u32) -> usize {
    let frames = test_link::frames(&link.connection).into_iter();
    let credit = frames.map(|frame| match frame {
        Frame::Credit { stream, bytes } if stream == of => bytes as usize,
        _ => 0,
    });
    credit.sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_stream_leaves_once_and_the_bytes_add_up(
        steps in proptest::collection::vec(step(), 0..150),
        lens in proptest::collection::vec(
            prop_oneof![1..500usize, 1usize << 12..1 << 14, 1usize << 15..1 << 17],
            1..5,
        ),
    ) {
        let house = House::new();
        let dc = Rc::<Dc>::default();
        let link = house.link("a front", &dc);
        let mut front = FrontModel {
            link: link.clone(),
            dc,
            known: HashMap::new(),
            taken: Rope::default(),
            lens: lens.into_iter().map(|len| len * 4).collect(),
            opened: 0,
            ended: 0,
        };
        for step in steps {
            front.take(step);
            front.check();
        }
        // All of them go, each by an end of its own.
        for number in 0..STREAMS {
            front.take(Step::LeaveByFront(number));
        }
        front.take(Step::Turn);
        front.check();
        prop_assert_eq!((front.ended, front.known.len()), (front.opened, 0));
        prop_assert_eq!(held(&link), 0);
        prop_assert_eq!(link.lose(), 0);
        drop(front);
        let buffers = &house.context.buffers;
        prop_assert_eq!((buffers.used_bytes(), buffers.claims().bytes), (0, 0));
        prop_assert_eq!(house.context.metrics.link_streams.get(), 0);
    }
}
