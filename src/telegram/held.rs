use std::rc::Rc;

use crate::net::{BufferPool, CHUNK_LEN, Rope};

/// A client's packet on its way to Telegram.
pub(super) struct QueuedPacket {
    pub(crate) quick_ack: bool,
    pub(crate) body: Rope,
}

/// Packets of one session that wait for a connection, close together: a chunk
/// for each would be a hundred times what a small one needs.
#[derive(Default)]
pub(super) struct Held {
    /// Their lengths, and whether a quick acknowledgement is wanted.
    pub(crate) packets: Vec<(u32, bool)>,
    pub(crate) payload: Rope,
}

impl Held {
    pub(crate) fn push_slice(&mut self, buffers: &Rc<BufferPool>, quick_ack: bool, body: &[u8]) {
        self.packets.push((body.len() as u32, quick_ack));
        self.payload.append_overdrawn(buffers, body);
    }

    pub(crate) fn push(&mut self, buffers: &Rc<BufferPool>, packet: QueuedPacket) {
        let QueuedPacket { quick_ack, body } = packet;
        self.packets.push((body.len() as u32, quick_ack));
        if body.len() >= CHUNK_LEN {
            self.payload.append_rope(body);
            return;
        }
        for slice in body.slices() {
            self.payload.append_overdrawn(buffers, slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn small_packets_lie_close_together() {
        let buffers = BufferPool::new(&Clock::machine(), 1 << 20);
        let mut held = Held::default();
        for number in 0..100u8 {
            let mut body = Rope::default();
            body.append_overdrawn(&buffers, &[number; 20]);
            let quick_ack = number % 2 == 0;
            held.push(&buffers, QueuedPacket { quick_ack, body });
            held.push_slice(&buffers, quick_ack, &[number; 20]);
        }
        assert_eq!(held.payload.len(), 4000);
        assert_eq!(buffers.used_bytes(), CHUNK_LEN);
        assert_eq!(held.packets.len(), 200);
        assert_eq!(held.packets.first(), Some(&(20, true)));
    }
}
