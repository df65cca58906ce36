//! What Telegram's side calls: packets are framed and encrypted as they come.

use std::mem;
use std::time::Duration;

use super::acks::{Around, ENOUGH_ACKS, MAX_ACKS};
use super::{ClientOut, Content, PacketProgress, State, Suspect};
use crate::backend::{SessionEnd, Sink, Taking};
use crate::config::ServerErrors;
use crate::net::{CHUNK_LEN, SCRATCH_LEN};
use crate::wire::transport::Transport;

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
            self.end.expect_writable();
            match state.queue.write_to(&self.end) {
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
        if !state.queue.is_empty() || !self.end.is_writable() {
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
}
