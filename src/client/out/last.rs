//! What a client in records gets last when we hang up.

use super::{ClientOut, Content, State};
use crate::net::fill_random;
use crate::wire::fake_tls::record_header;

/// An encrypted alert: two bytes, their content type and a tag.
const ALERT: usize = 19;

/// A packet that is announced and never comes: no error, no quick-ack, and not
/// too long for anybody.
const ANNOUNCED: u32 = 1024;

impl ClientOut {
    /// As servers say that they close.
    pub(super) fn say_last(&self, state: &mut State) {
        if state.records.is_none() || state.torn || !state.queue.is_empty() {
            return;
        }
        let Some(alert) = last_bytes(state) else {
            return;
        };
        let Some(socket) = self.end.as_socket() else {
            return;
        };
        let header = record_header(alert.len());
        let mut record = [0; 5 + ALERT];
        for (to, from) in record.iter_mut().zip(header.iter().chain(&alert)) {
            *to = *from;
        }
        // It is not waited for.
        if let Ok(written) = socket.try_write(&record) {
            self.wrote(written);
        }
        // Closing with something unread would take it back.
        let context = &self.context;
        let _ = context.scratch.with(|buffer| socket.skip(buffer));
    }
}

/// `None` if they would end a packet with the wrong bytes.
fn last_bytes(state: &mut State) -> Option<[u8; ALERT]> {
    let held = state.held.take().unwrap_or_default();
    let mut bytes = [0; ALERT];
    fill_random(&mut bytes);
    let (head, rest) = bytes.split_at_mut(held.bytes.len().min(ALERT));
    for (to, from) in head.iter_mut().zip(&held.bytes) {
        *to = *from;
    }
    let (cipher, to_come) = match &mut state.content {
        Content::Sealed => return Some(bytes),
        Content::Followed(cipher, frames) => (cipher, frames.to_come()),
        // Nothing of it was written.
        Content::Packets(cipher) if !state.packet.header.is_empty() => (cipher, 0),
        Content::Packets(cipher) => (cipher, state.packet.to_come()),
    };
    if to_come > 0 {
        return (to_come > rest.len()).then_some(bytes);
    }
    for (to, from) in rest.iter_mut().zip(ANNOUNCED.to_le_bytes()) {
        *to = from;
    }
    cipher.apply(rest);
    Some(bytes)
}
