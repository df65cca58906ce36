//! What streams leave for their link. A stream must not call its link, for the link may
//! be in the middle of a call to the stream. So it leaves a note, and the link takes all
//! notes at the beginning of its next turn, when nobody is inside a stream.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// One thing that a stream leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// It is over: its end is to be said.
    Left = 1,
    /// Who takes its bytes has room again.
    Room = 2,
    /// Who takes its bytes takes no more for now.
    Stalled = 4,
    /// A packet of it wants buffers.
    Wants = 8,
    /// The packet that wanted buffers is here.
    Came = 16,
}

impl Note {
    /// Whether the link's task is woken for it. Other notes wait until it runs anyway;
    /// they cannot pile up, because each stream is in the list once.
    pub(crate) fn is_urgent(self) -> bool {
        !matches!(self, Self::Stalled | Self::Came)
    }
}

/// What one stream has left and its link has not taken.
#[derive(Default)]
pub(super) struct Marks(Cell<u8>);

impl Marks {
    /// Takes all of them.
    pub(crate) fn take(&self) -> Taken {
        Taken(self.0.take())
    }
}

/// Some notes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken(u8);

impl Taken {
    pub(crate) fn has(self, note: Note) -> bool {
        self.0 & note as u8 != 0
    }
}

/// Numbers of the streams of a link that have left something, in order, each once. A
/// stream may be gone by the time that its number is taken: who takes it has to look.
#[derive(Default)]
pub(super) struct Notes(RefCell<VecDeque<u32>>);

impl Notes {
    pub(crate) fn leave(&self, number: u32, marks: &Marks, note: Note) {
        let before = marks.0.get();
        marks.0.set(before | note as u8);
        if before == 0 {
            self.0.borrow_mut().push_back(number);
        }
    }

    /// The next stream that may have left something.
    pub(crate) fn next(&self) -> Option<u32> {
        self.0.borrow_mut().pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    const ALL: [Note; 5] = [
        Note::Left,
        Note::Room,
        Note::Stalled,
        Note::Wants,
        Note::Came,
    ];

    #[derive(Clone, Debug)]
    enum Step {
        Leave(u32, usize),
        /// The stream is gone, and another one has its number.
        Replace(u32),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..4u32, 0..ALL.len()).prop_map(|(number, note)| Step::Leave(number, note)),
            1 => (0..4u32).prop_map(Step::Replace),
            1 => Just(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn each_note_is_taken_once_of_the_stream_that_left_it(
            steps in proptest::collection::vec(step(), 0..100)
        ) {
            let notes = Notes::default();
            let mut streams: [Marks; 4] = Default::default();
            let mut left: HashMap<u32, HashSet<usize>> = HashMap::new();
            let mut replaced = 0;
            for step in steps.into_iter().chain([Step::Take]) {
                match step {
                    Step::Leave(number, note) => {
                        notes.leave(number, &streams[number as usize], ALL[note]);
                        left.entry(number).or_default().insert(note);
                    }
                    Step::Replace(number) => {
                        streams[number as usize] = Marks::default();
                        replaced += usize::from(left.remove(&number).is_some());
                    }
                    Step::Take => {
                        prop_assert!(notes.0.borrow().len() <= left.len() + replaced);
                        while let Some(number) = notes.next() {
                            let taken = streams[number as usize].take();
                            let meant = left.remove(&number).unwrap_or_default();
                            for (at, note) in ALL.into_iter().enumerate() {
                                prop_assert_eq!(taken.has(note), meant.contains(&at));
                            }
                        }
                        prop_assert!(left.is_empty());
                        replaced = 0;
                    }
                }
            }
        }
    }
}
