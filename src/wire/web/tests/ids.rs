use std::collections::{BTreeMap, HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::closed::{Closed, REMEMBERED};
use super::super::*;

fn id(id: u32) -> StreamId {
    StreamId::new(id).unwrap()
}

#[test]
fn a_stream_is_open_then_closed_and_its_id_used_up() {
    let mut streams = Streams::default();
    assert_eq!(streams.get(id(7)), Err(IdFault::Unknown(id(7))));
    assert_eq!(streams.close(id(7)), Err(IdFault::Unknown(id(7))));
    assert_eq!(streams.open(id(7), "a"), Ok(()));
    assert_eq!(streams.open(id(7), "b"), Err(IdFault::Used(id(7))));
    assert_eq!(streams.get(id(7)), Ok(Some(&"a")));
    assert_eq!(streams.refuse(id(7)), Err(IdFault::Used(id(7))));
    assert_eq!(streams.close(id(7)), Ok(Some("a")));
    assert_eq!(streams.close(id(7)), Ok(None));
    assert_eq!(streams.get(id(7)), Ok(None));
    assert_eq!(streams.get_mut(id(7)), Ok(None));
    assert_eq!(streams.open(id(7), "c"), Err(IdFault::Used(id(7))));
    assert_eq!(streams.refuse(id(8)), Ok(()));
    assert_eq!(streams.get(id(8)), Ok(None));
    assert_eq!(streams.open(id(8), "d"), Err(IdFault::Used(id(8))));
    // Neighbours of what is remembered are not.
    assert_eq!(streams.get(id(6)), Err(IdFault::Unknown(id(6))));
    assert_eq!(streams.get(id(9)), Err(IdFault::Unknown(id(9))));
    assert!(streams.is_empty());
}

#[test]
fn turns_go_round() {
    let mut streams = Streams::default();
    assert_eq!(streams.after(id(1)), None);
    for one in [5, StreamId::MAX, 1] {
        streams.open(id(one), one).unwrap();
    }
    let next = |from| streams.after(id(from)).map(|(stream, _)| stream.get());
    assert_eq!(next(1), Some(5));
    assert_eq!(next(2), Some(5));
    assert_eq!(next(5), Some(StreamId::MAX));
    assert_eq!(next(StreamId::MAX), Some(1));
    let all: Vec<_> = streams.iter().map(|(stream, _)| stream.get()).collect();
    assert_eq!(all, [1, 5, StreamId::MAX]);
    assert_eq!(
        streams.drain().map(|(_, one)| one).sum::<u32>(),
        6 + StreamId::MAX
    );
    assert_eq!(streams.len(), 0);
}

/// A day of a busy app, which counts on behind the last id: what is kept stays small.
#[test]
fn ids_in_their_order_weigh_little() {
    let mut streams = Streams::default();
    let mut closed = Closed::default();
    let ids = (0..50_000u32).map(|at| id((StreamId::MAX - 20_000 + at) % StreamId::MAX + 1));
    let mut open = VecDeque::new();
    for (at, stream) in ids.enumerate() {
        streams.open(stream, ()).unwrap();
        open.push_back(stream);
        // Closed in another order than they were opened in.
        if open.len() > 20 {
            let stream = open.remove(at * 7 % 20).unwrap();
            streams.close(stream).unwrap();
            closed.add(stream);
        }
    }
    assert!(closed.weight() < 1024, "{}", closed.weight());
}

/// The worst that an app can do, and what it cost.
#[test]
fn ids_far_apart_have_a_bound() {
    let mut closed = Closed::default();
    for at in 0..20_000u32 {
        let stream = id(1 + at.wrapping_mul(7919 * 2) % StreamId::MAX);
        if !closed.contains(stream) {
            closed.add(stream);
        }
    }
    assert!(closed.weight() <= 2 * 4 * REMEMBERED, "{}", closed.weight());
}

/// Every id that was closed, and as which one of them for the last time.
#[derive(Default)]
struct ClosedOnes {
    count: usize,
    last: HashMap<u32, usize>,
}

impl ClosedOnes {
    fn add(&mut self, one: u32) {
        self.last.insert(one, self.count);
        self.count += 1;
    }

    fn is_ever(&self, one: u32) -> bool {
        self.last.contains_key(&one)
    }

    fn is_lately(&self, one: u32) -> bool {
        let at = self.last.get(&one);
        at.is_some_and(|at| self.count - at <= REMEMBERED)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(u32),
    Refuse(u32),
    Close(u32),
    /// Opens and closes so many from there on.
    Many(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near = || prop_oneof![4 => 1..60u32, 1 => 0xff_fff0..=0xff_ffffu32, 1 => 1..=0xff_ffffu32];
    vec(
        prop_oneof![
            10 => near().prop_map(Step::Open),
            2 => near().prop_map(Step::Refuse),
            10 => near().prop_map(Step::Close),
            1 => (1..0xff_0000u32, 1..3000u32).prop_map(|(from, count)| Step::Many(from, count)),
        ],
        0..60,
    )
}

proptest! {
    /// As one says who keeps the order in which ids were closed: of the last 4096 for
    /// sure, of those before maybe, of others never.
    #[test]
    fn as_a_list_of_all(steps in steps(), asked in vec(1..60u32, 0..20)) {
        let (mut streams, mut live) = (Streams::default(), BTreeMap::new());
        let mut closed = ClosedOnes::default();
        for step in steps {
            let single = match step {
                Step::Many(from, count) => (from..from + count)
                    .flat_map(|one| [Step::Open(one), Step::Close(one)])
                    .collect(),
                step => vec![step],
            };
            for step in single {
                let (Step::Open(one) | Step::Refuse(one) | Step::Close(one)) = step else {
                    unreachable!()
                };
                let is_surely = closed.is_lately(one);
                let is_maybe = closed.is_ever(one);
                let is_live = live.contains_key(&one);
                match step {
                    Step::Close(_) => match streams.close(id(one)) {
                        Ok(Some(value)) => {
                            prop_assert_eq!(live.remove(&one), Some(value));
                            closed.add(one);
                        }
                        Ok(None) => prop_assert!(is_maybe && !is_live),
                        Err(_) => prop_assert!(!is_surely && !is_live),
                    },
                    _ => {
                        let is_opened = matches!(step, Step::Open(_));
                        let outcome = match is_opened {
                            true => streams.open(id(one), one),
                            false => streams.refuse(id(one)),
                        };
                        match outcome {
                            Ok(()) if is_opened => {
                                prop_assert!(!is_live && !is_surely);
                                live.insert(one, one);
                            }
                            Ok(()) => {
                                prop_assert!(!is_live && !is_surely);
                                closed.add(one);
                            }
                            Err(_) => prop_assert!(is_live || is_maybe),
                        }
                    }
                }
            }
        }
        prop_assert!(streams.iter().map(|(stream, _)| stream.get()).eq(live.keys().copied()));
        for one in asked {
            let is_surely = closed.is_lately(one);
            match streams.get(id(one)) {
                Ok(Some(_)) => prop_assert!(live.contains_key(&one)),
                Ok(None) => prop_assert!(closed.is_ever(one)),
                Err(_) => prop_assert!(!is_surely && !live.contains_key(&one)),
            }
        }
    }
}
