//! What the app is told besides its data: that a stream is over, what it may send more.

use std::collections::VecDeque;

use crate::wire::web::{StreamId, close, window};

/// With so many that wait, nothing more is read of the app, which takes none.
pub(super) const MAX_NOTES: usize = 256;

/// Bytes of notes that go into one message.
pub(super) const MAX_MESSAGE: usize = 1024;

/// For so many a session keeps room: there is one for nearly each message of an app.
const KEPT: usize = 4;

/// Some notes as frames.
pub(super) type NoteFrames = heapless::Vec<u8, MAX_MESSAGE>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Close(StreamId),
    Window(StreamId, u32),
}

/// Those that wait, in their order.
#[derive(Default)]
pub(super) struct Notes(VecDeque<Note>);

impl Notes {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    /// Credit is added to what waits for the same stream, so that there are at most two
    /// notes a stream.
    pub(crate) fn push(&mut self, note: Note) {
        if let Note::Window(id, more) = note {
            let same = self.0.iter_mut().find_map(|waiting| match waiting {
                Note::Window(other, credit) if *other == id => Some(credit),
                _ => None,
            });
            if let Some(credit) = same {
                *credit = credit.saturating_add(more);
                return;
            }
        }
        self.0.push_back(note);
    }

    /// As many as go into one message, taken off.
    pub(crate) fn take(&mut self) -> NoteFrames {
        let mut frames = NoteFrames::new();
        while let Some(note) = self.0.front() {
            let added = match *note {
                Note::Close(id) => frames.extend_from_slice(&close(id)),
                Note::Window(id, credit) => frames.extend_from_slice(&window(id, credit)),
            };
            if added.is_err() {
                break;
            }
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > KEPT {
            // One that is idle keeps memory for a few.
            self.clear();
        }
        frames
    }
}
