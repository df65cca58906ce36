//! Bytes that are ready for the wire: put into records where the client is in some,
//! and written at once. What would be too short a record waits for more, and what the
//! kernel does not take is queued.

use std::time::Instant;

use super::super::records::{PARTS, RecordHeaders, Slices, unwrapped};
use super::tail::{HOLD, Held, writable};
use super::{ClientOut, State};
use crate::net::TakesSlices;

impl ClientOut {
    /// Writes what is ready for the wire except for records; `to_come` bytes
    /// are certain to follow.
    pub(super) fn write(
        &self,
        state: &mut State,
        [first, second, third]: [&[u8]; 3],
        to_come: usize,
    ) {
        let held = state.held.take();
        let bytes = held.as_ref().map_or(&[][..], |held| &held.bytes);
        let parts = [bytes, first, second, third];
        let Some(lengths) = &mut state.records else {
            return self.write_slices(state, &unwrapped(parts));
        };
        let total = parts.iter().map(|part| part.len()).sum();
        let ready = writable(total, to_come);
        if ready > 0 {
            let headers = RecordHeaders::new(ready, lengths);
            self.write_slices(state, &headers.wrap(parts));
        }
        if ready < total {
            let until = held.as_ref().and_then(|held| held.until);
            let until = (to_come == 0).then(|| until.unwrap_or_else(|| self.later()));
            self.hold(state, parts, ready, until);
        }
    }

    pub(super) fn later(&self) -> Instant {
        let now = self.context.reactor.now();
        now.checked_add(HOLD).unwrap_or(now)
    }

    /// Keeps what comes behind the first `written` bytes, at most `until` then.
    fn hold(
        &self,
        state: &mut State,
        parts: [&[u8]; PARTS],
        mut written: usize,
        until: Option<Instant>,
    ) {
        let mut held = Held {
            bytes: heapless::Vec::new(),
            until,
        };
        for part in parts {
            let skipped = written.min(part.len());
            written -= skipped;
            held.bytes.extend(part.iter().skip(skipped).copied());
        }
        if self.wake_up() || until.is_some() {
            state.wake();
        }
        state.held = (!state.broken).then(|| Box::new(held));
    }

    /// Writes what was held, however little it is.
    pub(crate) fn let_go(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(held) = state.held.take()
            && let Some(lengths) = &mut state.records
        {
            let headers = RecordHeaders::new(held.bytes.len(), lengths);
            self.write_slices(&mut state, &headers.wrap([&held.bytes, &[], &[], &[]]));
        }
    }

    fn write_slices(&self, state: &mut State, slices: &Slices<'_>) {
        if self.revoked().is_some() {
            // The stream goes on without them.
            state.torn = true;
            return self.fail(state);
        }
        let was_empty = state.queue.is_empty();
        let mut written = 0;
        if was_empty {
            let result = match slices.as_slice() {
                [only] => self.end.try_write(only),
                several => self.end.try_write_vectored(several),
            };
            match result {
                Ok(length) => written = length,
                Err(_) => return self.fail(state),
            }
            self.wrote(written);
        }
        for slice in slices {
            let skipped = written.min(slice.len());
            written -= skipped;
            if let Some(rest) = slice.get(skipped..) {
                state.queue.append_overdrawn(&self.context.buffers, rest);
            }
        }
        let is_stuck = was_empty && !state.queue.is_empty();
        if self.wake_up() || is_stuck {
            state.wake();
        }
    }

    pub(super) fn fail(&self, state: &mut State) {
        state.broken = true;
        state.torn |= !state.queue.is_empty();
        state.queue.clear();
        state.wake();
    }
}
