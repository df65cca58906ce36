//! Where messages begin in what a client sends.

use crate::wire::packet_meter::{PacketCutter, PacketPiece, PacketStart};
use crate::wire::transport::{Transport, TransportError};

/// The longest message of a tunnel of bytes. Workers refuse those of a mebibyte, and hold
/// each as a whole.
const MAX_BYTES: usize = 0xffff;

/// What the other side makes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    /// Each is one packet of the client's transport.
    Packets(Transport),
    /// They are a stream of bytes, however it is cut.
    Bytes,
}

/// Finds where messages begin in what the client sends.
pub(super) enum Cutter {
    Packets(PacketCutter),
    Bytes,
}

impl Cutter {
    pub(super) fn new(messages: Messages) -> Self {
        match messages {
            Messages::Packets(transport) => Self::Packets(PacketCutter::new(transport)),
            Messages::Bytes => Self::Bytes,
        }
    }

    /// See [`PacketCutter::next`].
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<PacketPiece<'a>>, TransportError> {
        let bytes = match self {
            Self::Packets(cutter) => return cutter.next(input),
            Self::Bytes => {
                let length = input.len().min(MAX_BYTES);
                input.split_off_mut(..length).unwrap_or_default()
            }
        };
        let start = PacketStart {
            length: bytes.len(),
            held: Default::default(),
        };
        Ok((!bytes.is_empty()).then_some(PacketPiece {
            start: Some(start),
            bytes,
        }))
    }
}
