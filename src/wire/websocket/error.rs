use std::fmt;

use super::MAX_SHORT;

/// What is wrong with a frame of the other side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Only clients mask.
    Masked,
    /// And they always do.
    Unmasked,
    /// Bits of an extension that was not asked for.
    Reserved,
    Opcode(u8),
    /// A client's text, where all is binary.
    Text,
    /// A fragment that continues no message.
    NoStart,
    /// A message begins before the last one's end.
    Interleaved,
    FragmentedControl,
    LongControl,
    /// The length is written longer than need be.
    LengthForm,
    /// So many bytes of a frame, or of a client's message up to here, are not taken.
    TooLong(u64),
    /// A close frame with half a code.
    CloseBody,
}

impl FrameError {
    /// The code of the close frame that answers it (RFC 6455 §7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::TooLong(_) => 1009,
            _ => 1002,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => write!(f, "a masked WebSocket frame, which only clients send"),
            Self::Unmasked => write!(f, "a WebSocket frame of a client's without a mask"),
            Self::Reserved => write!(f, "a WebSocket frame of an extension nobody asked for"),
            Self::Opcode(opcode) => write!(f, "a WebSocket frame of unknown type {opcode}"),
            Self::Text => write!(f, "a WebSocket message of text, where bytes are expected"),
            Self::NoStart => write!(f, "a WebSocket fragment that continues no message"),
            Self::Interleaved => write!(f, "a WebSocket message inside another one"),
            Self::FragmentedControl => write!(f, "a WebSocket control frame in fragments"),
            Self::LongControl => write!(f, "a WebSocket control frame over {MAX_SHORT} bytes"),
            Self::LengthForm => write!(f, "a WebSocket frame with its length in the wrong form"),
            Self::TooLong(length) => write!(
                f,
                "a WebSocket frame or message of {length} bytes, more than is accepted"
            ),
            Self::CloseBody => write!(f, "a WebSocket close frame with half a code"),
        }
    }
}

impl std::error::Error for FrameError {}
