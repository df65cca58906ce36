use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SIZES: Sizes = Sizes {
    first: 64 << 10,
    largest: 1 << 20,
};

/// Both ends of a stream, and what is on its way between them.
struct Stream {
    sender: Window,
    receiver: Window,
    data: VecDeque<usize>,
    credit: VecDeque<u32>,
}

impl Stream {
    fn new() -> Self {
        Self {
            sender: Window::new(SIZES.first, SIZES),
            receiver: Window::new(SIZES.first, SIZES),
            data: VecDeque::new(),
            credit: VecDeque::new(),
        }
    }

    fn send(&mut self, wanted: usize) -> usize {
        let count = wanted.min(self.sender.credit());
        self.sender.spend(count);
        self.data.push_back(count);
        count
    }

    fn deliver(&mut self) -> Result<usize, Overrun> {
        match self.data.pop_front() {
            Some(count) => self.receiver.receive(count),
            None => Ok(0),
        }
    }

    fn settle(&mut self, count: usize, uptake: Uptake) {
        let bytes = self.receiver.settle(count, uptake, SIZES);
        self.give(bytes);
    }

    fn give(&mut self, bytes: u32) {
        if bytes > 0 {
            self.credit.push_back(bytes);
        }
    }

    fn hear(&mut self) {
        if let Some(bytes) = self.credit.pop_front() {
            assert!(self.sender.add_credit(bytes));
        }
    }

    /// Nothing is lost or made on the way.
    fn check(&self) {
        let Window {
            granted,
            held,
            owed,
            grown,
            reserved,
            ..
        } = self.receiver;
        let window = SIZES.first + grown;
        assert_eq!(granted + held + owed, window + reserved);
        assert!(window <= SIZES.largest);
        let coming: usize = self.data.iter().sum();
        let given: u32 = self.credit.iter().sum();
        assert_eq!(
            self.sender.credit() + coming + given as usize,
            granted as usize
        );
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Deliver,
    Settle(usize, Uptake),
    Hear,
    /// Buffers for bytes that are here, and for more to come.
    Reserve(usize, usize),
}

fn uptake() -> impl Strategy<Value = Uptake> {
    prop_oneof![
        Just(Uptake::Quick),
        Just(Uptake::Steady),
        Just(Uptake::Slow)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..200_000_usize).prop_map(Step::Send),
        4 => Just(Step::Deliver),
        3 => (0..200_000_usize, uptake()).prop_map(|(count, uptake)| Step::Settle(count, uptake)),
        2 => Just(Step::Hear),
        1 => (0..=1_usize << 17, 0..=1_usize << 19)
            .prop_map(|(have, more)| Step::Reserve(have, more)),
    ]
}

proptest! {
    #[test]
    fn an_honest_end_never_overruns_and_always_gets_its_window_back(
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut stream = Stream::new();
        for step in steps {
            match step {
                Step::Send(wanted) => {
                    stream.send(wanted);
                }
                Step::Deliver => prop_assert!(stream.deliver().is_ok()),
                Step::Settle(count, uptake) => stream.settle(count, uptake),
                Step::Hear => stream.hear(),
                Step::Reserve(have, more) => {
                    let have = stream.receiver.held().min(have);
                    let bytes = stream.receiver.reserve(have, more);
                    stream.give(bytes);
                }
            }
            stream.check();
        }
        // All that was sent is taken, and what has buffers comes.
        loop {
            while !stream.data.is_empty() {
                prop_assert!(stream.deliver().is_ok());
            }
            while !stream.credit.is_empty() {
                stream.hear();
            }
            stream.settle(stream.receiver.held(), Uptake::Steady);
            let missing = stream.receiver.reserved as usize;
            if missing == 0 && stream.data.is_empty() && stream.credit.is_empty() {
                break;
            }
            stream.send(missing);
            stream.check();
        }
        prop_assert_eq!(stream.receiver.held(), 0);
        prop_assert!(stream.sender.credit() > stream.receiver.sure(SIZES));
    }

    /// A packet is never stuck half way for want of credit, be it that its window
    /// is sure to bring it or that it gets buffers.
    #[test]
    fn every_packet_comes_whole(
        packets in proptest::collection::vec(1..=1_usize << 20, 1..30),
        uptake in uptake(),
        lead in 0..200_000_usize,
    ) {
        // Windows do not shrink on the side that takes packets.
        let uptake = if uptake == Uptake::Slow { Uptake::Steady } else { uptake };
        let mut stream = Stream::new();
        for len in packets {
            let is_large = len > stream.receiver.sure(SIZES);
            let (mut sent, mut here, mut turns) = (0, 0, 0);
            while here < len {
                turns += 1;
                prop_assert!(turns < 400, "stuck at {} of {}", here, len);
                sent += stream.send((len - sent).min(1 << 14));
                let before: usize = stream.data.iter().sum();
                prop_assert!(stream.deliver().is_ok());
                here += before - stream.data.iter().sum::<usize>();
                if is_large && turns % 3 == 0 {
                    let have = stream.receiver.held();
                    let missing = len - here - stream.receiver.reserved();
                    let bytes = stream.receiver.reserve(have, missing.min(lead));
                    stream.give(bytes);
                }
                stream.hear();
                stream.check();
            }
            prop_assert_eq!(stream.receiver.reserved(), 0);
            stream.settle(stream.receiver.held(), uptake);
            stream.check();
        }
    }

    /// However it lies about its credit, what an end sends beyond is an overrun,
    /// and no more is ever held or promised than it was given.
    #[test]
    fn a_liar_is_found_out(
        parts in proptest::collection::vec((0..300_000_usize, 0..300_000_usize, uptake()), 1..60),
    ) {
        let mut window = Window::new(0, SIZES);
        for (count, settled, uptake) in parts {
            let granted = window.granted as usize;
            let outcome = window.receive(count);
            prop_assert_eq!(outcome.is_ok(), count <= granted);
            if outcome.is_err() {
                prop_assert_eq!(window.granted as usize, granted);
            }
            prop_assert!(window.held() <= SIZES.largest as usize);
            window.settle(settled, uptake, SIZES);
        }
        prop_assert_eq!(window.receive(usize::MAX), Err(Overrun));
    }
}

#[test]
fn credit_without_end_is_refused() {
    let mut window = Window::new(SIZES.first, SIZES);
    assert!(!window.add_credit(u32::MAX));
    assert_eq!(window.credit(), SIZES.first as usize);
    assert!(window.add_credit(u32::MAX - SIZES.first));
}

#[test]
fn a_window_grows_while_all_is_taken_and_shrinks_for_who_is_slow() {
    let mut window = Window::new(0, SIZES);
    let mut given = 0;
    while window.grown < SIZES.largest - SIZES.first {
        let all = window.granted as usize;
        window.receive(all).unwrap();
        given += window.settle(all, Uptake::Quick, SIZES);
        assert_eq!(window.granted, SIZES.first + window.grown);
    }
    assert!(given < 3 << 20, "it doubles: {given}");
    for _ in 0..20 {
        let all = window.granted as usize;
        window.receive(all).unwrap();
        window.settle(all, Uptake::Slow, SIZES);
    }
    assert_eq!((window.grown, window.granted), (0, SIZES.first));
}
