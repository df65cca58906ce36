//! Packets inside a stream: `quick-ack bit 31, length bits 0–30 (u32) |
//! payload`.

use super::LinkError;
use crate::bytes::{Gather, take_up_to};

/// Bytes before each packet.
pub const PACKET_HEADER_LEN: usize = 4;

const QUICK_ACK: u32 = 1 << 31;

/// What stands before a packet of `len` bytes.
pub fn packet_header(len: usize, quick_ack: bool) -> [u8; PACKET_HEADER_LEN] {
    let quick_ack = if quick_ack { QUICK_ACK } else { 0 };
    (len as u32 | quick_ack).to_be_bytes()
}

#[derive(Debug, PartialEq, Eq)]
pub enum PacketPart<'a> {
    Begin { len: usize, quick_ack: bool },
    Bytes(&'a mut [u8]),
    End,
}

/// Finds the packets of a stream however its bytes are cut.
#[derive(Default)]
pub struct PacketReader {
    header: Gather<PACKET_HEADER_LEN>,
    is_inside: bool,
    left: u32,
}

impl PacketReader {
    /// The next part in `input`, which is moved past it; `None` when all of it
    /// is used up. Packets over `limit` bytes are an error.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limit: usize,
    ) -> Result<Option<PacketPart<'a>>, LinkError> {
        if !self.is_inside {
            let Some(header) = self.header.fill(input) else {
                return Ok(None);
            };
            let word = u32::from_be_bytes(header);
            self.left = word & !QUICK_ACK;
            self.is_inside = true;
            let (len, quick_ack) = (self.left as usize, word & QUICK_ACK != 0);
            if len > limit {
                return Err(LinkError::Packet(len));
            }
            return Ok(Some(PacketPart::Begin { len, quick_ack }));
        }
        if self.left == 0 {
            self.is_inside = false;
            return Ok(Some(PacketPart::End));
        }
        let bytes = take_up_to(input, self.left as usize);
        self.left -= bytes.len() as u32;
        Ok((!bytes.is_empty()).then_some(PacketPart::Bytes(bytes)))
    }

    /// Takes back the last `count` bytes of a [`PacketPart::Bytes`]: they come
    /// again.
    pub fn give_back(&mut self, count: usize) {
        self.left += count as u32;
    }
}
