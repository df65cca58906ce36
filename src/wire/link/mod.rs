//! Frames of the link between a front and a back (`doc/split-mode.md`).
//!
//! ```text
//! frame   = length u32 | type u8 | stream u32 | body
//! length  = bytes behind itself, 5 ..= 5 + MAX_BODY; all numbers big-endian
//! ```
//!
//! The body of a data frame is handed on as it arrives; all others are short
//! and come whole. The data frames of one stream carry, joined, either bare
//! bytes (direct) or packets, each behind 4 bytes ([`packets`]).
//!
//! | File | What |
//! |---|---|
//! | `hello.rs` | the first frame of each side, and the proof that it has the key |
//! | `open.rs` | what a front asks for a client |
//! | `frame.rs` | all frames but data: their bytes |
//! | `decode.rs` | finds frames however their bytes are cut |
//! | `packets.rs` | packets inside a stream |
//! | `window.rs` | how many bytes one stream may carry |
//! | `whole.rs` | what all streams of a side take together, and whose share of it is whose |
//! | `coming.rs` | large packets that are under way on one link |

pub mod coming;
mod decode;
mod frame;
mod hello;
mod open;
pub mod packets;
pub mod whole;
pub mod window;

use std::fmt;

pub use decode::{Decoder, Event};
pub use frame::{EndReason, Frame, Refusal, data_header};
pub use hello::{Hello, LinkSide, PROOF_LEN, RANDOM_LEN, VERSION, proof};
pub use open::{AnswerKey, Open, OpenRoute};

/// Bytes of `length`, `type` and `stream`.
pub const HEADER_LEN: usize = 9;

/// The largest body: at 10 Mbit/s another stream waits 13 ms for it.
pub const MAX_BODY: usize = 16 * 1024;

/// The largest body of a frame that comes whole.
pub const MAX_CONTROL: usize = 128;

/// What is wrong with the bytes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Its first bytes are not a hello.
    NotALink,
    /// It speaks another version than [`VERSION`].
    Version(u16),
    Length(u32),
    Type(u8),
    Body(u8),
    /// The length of a packet inside a stream.
    Packet(usize),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALink => write!(
                f,
                "what came is not a link's hello: is it another service or a scanner, or is TLS on \
                 one end only?"
            ),
            Self::Version(theirs) => write!(
                f,
                "it speaks version {theirs} of the link, this end {VERSION}: update the older one"
            ),
            Self::Length(length) => write!(f, "a frame of {length} bytes"),
            Self::Type(kind) => write!(f, "a frame of unknown type {kind}"),
            Self::Body(kind) => write!(f, "a frame of type {kind} with a wrong body"),
            Self::Packet(length) => write!(f, "a packet of {length} bytes"),
        }
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests;
