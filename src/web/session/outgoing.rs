//! What goes to an app: clients write straight through, one after another where several
//! have something to send.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::Context;

use super::super::carrier::Out;
use super::super::notes::{MAX_NOTES, Note};
use super::super::stream::Stream;
use super::{Session, State};

/// How often a stream whose turn it is may be found not to have used it.
const MAX_LOOKS: u8 = 2;

impl Session {
    /// Hands on what the carrier takes of it now, in one frame.
    pub(in crate::web) fn write(
        &self,
        stream: &Rc<Stream>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if self.is_over(stream) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut state = self.state.borrow_mut();
        if !stream.has_credit() || !state.is_turn_of(stream) {
            return Ok(0);
        }
        let state = &mut *state;
        let flushed = self.flush_notes(state);
        let written = match flushed {
            Ok(true) => {
                let credit = stream.to_app.borrow().available();
                let buffers = &self.context.buffers;
                state.out.write(stream.id, slices, credit, buffers)
            }
            Ok(false) => Ok(0),
            Err(error) => Err(error),
        };
        let written = written.inspect_err(|_| self.wake_carrier())?;
        if written > 0 {
            self.sent.set(self.context.reactor.now());
            stream.to_app.borrow_mut().spend(written);
            state.turn = None;
        }
        let is_collected = written > 0 && matches!(state.out, Out::Batches(_));
        if state.pass_turn() || is_collected || !state.out.is_free() {
            // It waits for the way out, for who has its turn, or to answer a poll.
            self.wake_carrier();
        }
        Ok(written)
    }

    /// The next write of this stream takes something, or fails.
    pub(in crate::web) fn may_write(&self, stream: &Rc<Stream>) -> bool {
        if self.is_over(stream) {
            return true;
        }
        let state = self.state.borrow();
        stream.has_credit() && state.is_turn_of(stream) && state.out.is_free()
    }

    /// It has something to send, and wants its turn for that.
    pub(in crate::web) fn wait_in_line(&self, stream: &Rc<Stream>) {
        let mut state = self.state.borrow_mut();
        if !stream.has_credit() || state.has_turn(stream) || stream.is_in_line.get() {
            return;
        }
        stream.is_in_line.set(true);
        state.line.push_back(stream.clone());
        drop(state);
        self.wake_carrier();
    }

    /// Sends what waits, and lets who waits for that take turns; the carrier's task calls
    /// it whenever it is woken. Whether nothing is left to be sent.
    pub(in crate::web) fn flush(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if !self.flush_notes(state)? {
            return Ok(false);
        }
        if state.out.is_free() {
            if let Some((stream, looks)) = &mut state.turn {
                *looks += 1;
                // It may have found the way out taken.
                stream.wake_writer();
                if *looks > MAX_LOOKS {
                    // It has nothing to say after all.
                    state.turn = None;
                }
            }
            if state.pass_turn() || state.turn.is_some() {
                cx.waker().wake_by_ref();
            }
        }
        Ok(true)
    }

    /// Sends what waits; whether nothing is left of that.
    fn flush_notes(&self, state: &mut State) -> io::Result<bool> {
        let were_many = state.notes.len() >= MAX_NOTES;
        let flushed = state.out.flush(&mut state.notes, &self.context.buffers)?;
        if were_many && state.notes.len() < MAX_NOTES {
            // Nothing was read meanwhile.
            self.wake_carrier();
            self.wake_reader();
        }
        Ok(flushed)
    }

    /// Closes a stream: the app is told, unless it was the one who did it.
    pub(in crate::web) fn close(&self, stream: &Rc<Stream>) {
        self.let_be(stream);
        if stream.is_closed.replace(true) {
            return;
        }
        let queued = {
            let mut queue = stream.queue.borrow_mut();
            let queued = queue.len();
            queue.clear();
            queued
        };
        self.context.stream_is_over();
        {
            let mut state = self.state.borrow_mut();
            state.held = state.held.saturating_sub(queued);
            state.ends = state.ends.saturating_sub(1);
            if !stream.has_ended.get() && self.ended.get().is_none() {
                state.notes.push(Note::Close(stream.id));
            }
        }
        self.forget(stream);
        self.wake_carrier();
        self.wake_reader();
    }

    pub(super) fn is_over(&self, stream: &Stream) -> bool {
        self.ended.get().is_some() || stream.has_ended.get() || stream.is_closed.get()
    }
}

impl State {
    /// Nobody else waits, or it is the first of those.
    fn is_turn_of(&self, stream: &Rc<Stream>) -> bool {
        match &self.turn {
            Some((next, _)) => Rc::ptr_eq(next, stream),
            None => self.line.is_empty(),
        }
    }

    fn has_turn(&self, stream: &Rc<Stream>) -> bool {
        let turn = self.turn.as_ref();
        turn.is_some_and(|(next, _)| Rc::ptr_eq(next, stream))
    }

    /// If the way out is free, the next one may write; whether there is one.
    pub(super) fn pass_turn(&mut self) -> bool {
        if self.turn.is_some() || self.line.is_empty() || !self.out.is_free() {
            return false;
        }
        if matches!(self.out, Out::Batches(_)) {
            // Nobody looks whether each has used its turn: as there is room for several,
            // all of them try, in their order.
            for stream in self.line.drain(..) {
                stream.is_in_line.set(false);
                stream.wake_writer();
            }
            return false;
        }
        let Some(stream) = self.line.pop_front() else {
            return false;
        };
        stream.is_in_line.set(false);
        stream.wake_writer();
        self.turn = Some((stream, 0));
        true
    }

    pub(super) fn leave_line(&mut self, stream: &Rc<Stream>) {
        if stream.is_in_line.replace(false) {
            self.line.retain(|other| !Rc::ptr_eq(other, stream));
        }
        if self.has_turn(stream) {
            self.turn = None;
        }
    }
}
