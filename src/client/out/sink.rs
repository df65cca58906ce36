//! What Telegram's side calls: framing, encrypting and writing.

use std::mem;
use std::time::Duration;

use super::super::records::{PAUSE, RecordHeaders, Slices, unwrapped};
use super::{ClientOut, PacketProgress, State};
use crate::backend::{SessionEnd, Sink, Taking};
use crate::config::ServerErrors;
use crate::net::{CHUNK_LEN, SCRATCH_LEN};
use crate::wire::transport::Transport;

/// Quick acknowledgements kept back behind an unfinished packet.
const MAX_ACKS: usize = 64;

/// Telegram's error −404, a whole payload (`doc/protocol.md` §7): whoever gets
/// it has sent what no client sends.
const NOT_FOUND: [u8; 4] = (-404_i32).to_le_bytes();

impl Sink for ClientOut {
    fn begin_packet(&self, len: usize) {
        let mut state = self.state.borrow_mut();
        let padding = match state.transport {
            Transport::Padded => self.context.padding.next(),
            Transport::Abridged | Transport::Intermediate => heapless::Vec::new(),
        };
        self.context.metrics.client_packets_out.inc();
        let is_suspect = state.filter != ServerErrors::Deliver && len == NOT_FOUND.len();
        state.suspect = is_suspect.then(heapless::Vec::new);
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
        for token in mem::take(&mut state.acks) {
            self.send_ack(&mut state, token);
        }
    }

    fn quick_ack(&self, token: [u8; 4]) {
        let mut state = self.state.borrow_mut();
        if state.is_over() || state.queue.len() > CHUNK_LEN {
            // No allowance bounds them, and a client can do without.
        } else if state.packet.is_done() {
            self.send_ack(&mut state, token);
        } else if state.acks.len() < MAX_ACKS {
            state.acks.push(token);
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
    /// belong.
    fn send_payload(&self, state: &mut State, payload: &mut [u8]) {
        let packet = &mut state.packet;
        let mut header = mem::take(&mut packet.header);
        packet.payload_left = packet.payload_left.saturating_sub(payload.len());
        let mut padding = heapless::Vec::new();
        if packet.payload_left == 0 {
            padding = mem::take(&mut packet.padding);
        }
        if let Some(cipher) = &mut state.cipher {
            cipher.apply(&mut header);
            cipher.apply(payload);
            cipher.apply(&mut padding);
        }
        self.write(state, [&header, payload, &padding]);
    }

    /// Writes what is ready for the wire except for records.
    fn write(&self, state: &mut State, parts: [&[u8]; 3]) {
        if let Some(lengths) = &mut state.records {
            let now = self.context.reactor.now();
            if now.duration_since(self.last_write.get()) >= PAUSE {
                lengths.restart();
            }
            let total = parts.iter().map(|part| part.len()).sum();
            let headers = RecordHeaders::new(total, lengths);
            self.write_slices(state, &headers.wrap(parts));
        } else {
            self.write_slices(state, &unwrapped(parts));
        }
    }

    fn write_slices(&self, state: &mut State, slices: &Slices<'_>) {
        if self.revoked().is_some() {
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
        let Some(suspect) = &mut state.suspect else {
            return 0;
        };
        let missing = suspect.capacity() - suspect.len();
        let taken = data.get(..missing).unwrap_or(data);
        suspect.extend(taken.iter().copied());
        if suspect.is_full()
            && let Some(mut bytes) = state.suspect.take()
        {
            if *bytes == NOT_FOUND {
                state.packet = PacketProgress::default();
                self.context.metrics.server_errors_filtered.inc();
            } else {
                self.send_payload(state, &mut bytes);
            }
        }
        taken.len()
    }

    pub(super) fn fail(&self, state: &mut State) {
        state.broken = true;
        state.queue.clear();
        state.wake();
    }

    fn send_ack(&self, state: &mut State, token: [u8; 4]) {
        let mut ack = state.transport.quick_ack(token);
        if let Some(cipher) = &mut state.cipher {
            cipher.apply(&mut ack);
        }
        self.write(state, [&ack, &[], &[]]);
        self.context.metrics.quick_acks.inc();
    }
}
