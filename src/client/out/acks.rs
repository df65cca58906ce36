//! Quick acknowledgements: between packets, or beside the next one in its record.

use super::tail::HOLD;
use super::{Acks, ClientOut, Content, State};
use crate::wire::fake_tls::SHORTEST_RECORD;

/// Quick acknowledgements kept back at a time.
pub(crate) const MAX_ACKS: usize = 64;

/// So many fill a record.
pub(crate) const ENOUGH_ACKS: usize = SHORTEST_RECORD.div_ceil(4);

/// What goes before or behind a payload: quick acknowledgements, and a header
/// or padding.
pub(crate) type Around = heapless::Vec<u8, { 4 * MAX_ACKS + 4 }>;

impl ClientOut {
    /// Nothing is kept for it: without records there is nothing to wait for.
    pub(super) fn send_ack(&self, state: &mut State, token: [u8; 4]) {
        let mut ack = state.transport.quick_ack(token);
        if let Content::Packets(cipher) = &mut state.content {
            cipher.apply(&mut ack);
        }
        self.write(state, [&ack, &[], &[]], 0);
        self.context.metrics.quick_acks.inc();
    }

    pub(super) fn send_acks(&self, state: &mut State) {
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
    pub(super) fn take_acks(&self, state: &mut State, to: &mut Around) {
        let acks = state.acks.take();
        for token in acks.iter().flat_map(|acks| &acks.tokens) {
            to.extend(state.transport.quick_ack(*token));
            self.context.metrics.quick_acks.inc();
        }
    }

    /// Those that nothing came for in time are of no use any more.
    pub(super) fn drop_late_acks(&self, state: &mut State) {
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
