//! What Telegram's side calls: framing, encrypting and writing.

use std::mem;
use std::time::{Duration, Instant};

use super::super::records::{PARTS, RecordHeaders, Slices, unwrapped};
use super::tail::{HOLD, Held, writable};
use super::{Acks, ClientOut, Content, PacketProgress, State, Suspect};
use crate::backend::{SessionEnd, Sink, Taking};
use crate::config::ServerErrors;
use crate::net::{CHUNK_LEN, SCRATCH_LEN};
use crate::wire::fake_tls::SHORTEST_RECORD;
use crate::wire::transport::Transport;

/// Quick acknowledgements kept back at a time.
const MAX_ACKS: usize = 64;

/// So many fill a record.
const ENOUGH_ACKS: usize = SHORTEST_RECORD.div_ceil(4);

/// What goes before or behind a payload: quick acknowledgements, and a header
/// or padding.
type Around = heapless::Vec<u8, { 4 * MAX_ACKS + 4 }>;

/// Telegram's error −404, a whole payload (`doc/protocol.md` §7): whoever gets
/// it has sent what no client sends.
const NOT_FOUND: [u8; 4] = (-404_i32).to_le_bytes();

/// Telegram's errors are a negative number alone.
fn is_error(payload: &[u8]) -> bool {
    let code = payload.try_into().map(i32::from_le_bytes);
    code.is_ok_and(|code| (-999..0).contains(&code))
}

impl Sink for ClientOut {
    fn begin_packet(&self, len: usize) {
        let mut state = self.state.borrow_mut();
        let padding = match state.transport {
            Transport::Padded => self.context.padding.next(),
            Transport::Abridged | Transport::Intermediate => heapless::Vec::new(),
        };
        self.context.metrics.client_packets_out.inc();
        let is_filtered = state.filter != ServerErrors::Deliver;
        let is_suspect = len == NOT_FOUND.len() && (is_filtered || state.records.is_some());
        state.suspect = is_suspect.then(|| Suspect {
            bytes: heapless::Vec::new(),
            is_filtered,
        });
        if state.filter == ServerErrors::FilterFirst {
            state.filter = ServerErrors::Deliver;
        }
        state.packet = PacketProgress {
            header: state.transport.write_header(len, padding.len()),
            payload_left: len,
            padding,
        };
    }

    fn offer(&self, data: &mut [u8], allowance: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let mut taken = self.withhold(&mut state, data);
        while let Some((_, rest)) = data.split_at_mut_checked(taken)
            && !rest.is_empty()
        {
            if state.is_over() {
                return data.len();
            }
            let length = rest
                .len()
                .min(self.room(&state, allowance))
                .min(SCRATCH_LEN);
            if length == 0 {
                state.resume_at = Some(u32::try_from(state.queue.len() / 2).unwrap_or(u32::MAX));
                state.wake();
                break;
            }
            let piece = rest.get_mut(..length).unwrap_or_default();
            self.send_payload(&mut state, piece);
            taken += length;
        }
        taken
    }

    fn end_packet(&self) {
        let mut state = self.state.borrow_mut();
        if state.is_over() {
            return;
        }
        if !state.packet.is_done() {
            self.send_payload(&mut state, &mut []);
        }
        if state.records.is_none() {
            self.send_acks(&mut state);
        }
    }

    fn quick_ack(&self, token: [u8; 4]) {
        let mut state = self.state.borrow_mut();
        if state.is_over() || state.queue.len() > CHUNK_LEN {
            // No allowance bounds them, and a client can do without.
            return;
        }
        let is_between = state.packet.is_done();
        if is_between && state.records.is_none() {
            return self.send_ack(&mut state, token);
        }
        if is_between {
            self.drop_late_acks(&mut state);
        }
        let acks = state.acks.get_or_insert_default();
        if is_between {
            acks.since.get_or_insert(self.context.reactor.now());
        }
        if acks.tokens.len() < MAX_ACKS {
            acks.tokens.push(token);
        }
        if is_between && acks.tokens.len() >= ENOUGH_ACKS {
            self.send_acks(&mut state);
        }
    }

    fn undelivered(&self) -> usize {
        self.state.borrow().queue.len()
    }

    fn taking(&self) -> Taking {
        let mut state = self.state.borrow_mut();
        if !state.queue.is_empty() {
            self.socket.expect_writable();
            match state.queue.write_to(&self.socket) {
                Ok(0) => {}
                Ok(written) => {
                    self.wrote(written);
                    state.wake();
                }
                Err(_) => self.fail(&mut state),
            }
        }
        Taking {
            last: self.last_write(),
            lag: Duration::ZERO,
            starved: state.resume_at.is_some() && state.queue.is_empty(),
        }
    }

    fn end(&self, end: SessionEnd) {
        let mut state = self.state.borrow_mut();
        state.end.get_or_insert(end);
        state.wake();
    }
}

impl ClientOut {
    /// How much can be taken now if the kernel should take nothing of it.
    fn room(&self, state: &State, allowance: usize) -> usize {
        let room = allowance.min(self.context.buffers.free_bytes());
        if !state.queue.is_empty() || !self.socket.is_writable() {
            room.saturating_sub(state.queue.len())
        } else if self.has_room() {
            room.max(CHUNK_LEN)
        } else {
            room
        }
    }

    /// Sends a piece of a packet, with its header and padding where they
    /// belong, and acknowledgements on both sides of the packet.
    fn send_payload(&self, state: &mut State, payload: &mut [u8]) {
        if let Content::Followed(cipher, frames) = &mut state.content {
            frames.pass(cipher, payload);
            let to_come = frames.to_come();
            return self.write(state, [payload, &[], &[]], to_come);
        }
        let (mut before, mut behind) = (Around::new(), Around::new());
        if state.records.is_some() && !state.packet.header.is_empty() {
            self.drop_late_acks(state);
            self.take_acks(state, &mut before);
        }
        let packet = &mut state.packet;
        before.extend(mem::take(&mut packet.header));
        packet.payload_left = packet.payload_left.saturating_sub(payload.len());
        if packet.payload_left == 0 {
            behind.extend(mem::take(&mut packet.padding));
            self.take_acks(state, &mut behind);
        }
        if let Content::Packets(cipher) = &mut state.content {
            cipher.apply(&mut before);
            cipher.apply(payload);
            cipher.apply(&mut behind);
        }
        let to_come = state.packet.to_come();
        self.write(state, [&before, payload, &behind], to_come);
    }

    /// Writes what is ready for the wire except for records; `to_come` bytes
    /// are certain to follow.
    fn write(&self, state: &mut State, [first, second, third]: [&[u8]; 3], to_come: usize) {
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

    fn later(&self) -> Instant {
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
    pub fn let_go(&self) {
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
                [only] => self.socket.try_write(only),
                several => self.socket.try_write_vectored(several),
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

    /// Keeps bytes of a packet that may be a server's error; how many.
    fn withhold(&self, state: &mut State, data: &[u8]) -> usize {
        let Some(Suspect { bytes, .. }) = &mut state.suspect else {
            return 0;
        };
        let missing = bytes.capacity() - bytes.len();
        let taken = data.get(..missing).unwrap_or(data);
        bytes.extend(taken.iter().copied());
        if bytes.is_full()
            && let Some(Suspect {
                mut bytes,
                is_filtered,
            }) = state.suspect.take()
        {
            let again = bytes.clone();
            if is_filtered && *bytes == NOT_FOUND {
                state.packet = PacketProgress::default();
                self.context.metrics.server_errors_filtered.inc();
            } else {
                self.send_payload(state, &mut bytes);
                if state.records.is_some() && is_error(&again) {
                    self.send_again(state, again);
                }
            }
        }
        taken.len()
    }

    /// An error does not fill a record, and not all clients know it with longer
    /// padding. The first one ends what it is about, the second says the same.
    fn send_again(&self, state: &mut State, mut error: heapless::Vec<u8, 4, u8>) {
        let padding = self.context.padding.some();
        state.packet = PacketProgress {
            header: state.transport.write_header(error.len(), padding.len()),
            payload_left: error.len(),
            padding,
        };
        self.send_payload(state, &mut error);
    }

    pub(super) fn fail(&self, state: &mut State) {
        state.broken = true;
        state.torn |= !state.queue.is_empty();
        state.queue.clear();
        state.wake();
    }

    /// Nothing is kept for it: without records there is nothing to wait for.
    fn send_ack(&self, state: &mut State, token: [u8; 4]) {
        let mut ack = state.transport.quick_ack(token);
        if let Content::Packets(cipher) = &mut state.content {
            cipher.apply(&mut ack);
        }
        self.write(state, [&ack, &[], &[]], 0);
        self.context.metrics.quick_acks.inc();
    }

    fn send_acks(&self, state: &mut State) {
        let mut acks = Around::new();
        self.take_acks(state, &mut acks);
        if acks.is_empty() {
            return;
        }
        if let Content::Packets(cipher) = &mut state.content {
            cipher.apply(&mut acks);
        }
        self.write(state, [&acks, &[], &[]], 0);
    }

    /// Appends the acknowledgements that wait, for which there is room.
    fn take_acks(&self, state: &mut State, to: &mut Around) {
        let acks = state.acks.take();
        for token in acks.iter().flat_map(|acks| &acks.tokens) {
            to.extend(state.transport.quick_ack(*token));
            self.context.metrics.quick_acks.inc();
        }
    }

    /// Those that nothing came for in time are of no use any more.
    fn drop_late_acks(&self, state: &mut State) {
        let now = self.context.reactor.now();
        let is_late = |acks: &mut Box<Acks>| {
            let since = acks.since.unwrap_or(now);
            now.duration_since(since) > HOLD
        };
        if let Some(late) = state.acks.take_if(is_late) {
            let dropped = late.tokens.len() as u64;
            self.context.metrics.quick_acks_dropped.add(dropped);
        }
    }
}
