use std::fmt;

use super::{MAX_FRAMES, StreamId};

/// What an app's frames must not be: fatal for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// It begins with something else than HELLO.
    NoHello,
    HelloAgain,
    /// Its HELLO is of another version.
    Version,
    Type(u8),
    /// Only a relay sends this type.
    NotOfApp(u8),
    /// A frame of this type has to name a stream.
    NoStream(u8),
    /// One of this type must not.
    OfStream(u8),
    /// A type that is never so long or so short, in bytes.
    Length {
        kind: u8,
        length: u32,
    },
    EmptyData,
    ZeroWindow,
    /// A message or a body ends inside of a frame.
    CutFrame,
    /// It has no frame at all.
    EmptyBatch,
    /// It has more than [`MAX_FRAMES`].
    TooManyFrames,
}

/// What a frame's stream must not be: fatal for the session as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFault {
    /// OPEN of an id that is or was in use.
    Used(StreamId),
    /// A frame for an id that was never opened, or closed too long ago.
    Unknown(StreamId),
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHello => write!(f, "frames that do not begin with HELLO"),
            Self::HelloAgain => write!(f, "a second HELLO"),
            Self::Version => write!(f, "a HELLO of another version than 1"),
            Self::Type(kind) => write!(f, "a frame of unknown type {kind:#04x}"),
            Self::NotOfApp(kind) => write!(f, "a frame of type {kind:#04x}, which no app sends"),
            Self::NoStream(kind) => write!(f, "a frame of type {kind:#04x} without a stream"),
            Self::OfStream(kind) => write!(f, "a frame of type {kind:#04x} with a stream"),
            Self::Length { kind, length } => {
                write!(f, "a frame of type {kind:#04x} with {length} bytes")
            }
            Self::EmptyData => write!(f, "a DATA frame without data"),
            Self::ZeroWindow => write!(f, "a WINDOW of zero bytes"),
            Self::CutFrame => write!(f, "a message that ends inside of a frame"),
            Self::EmptyBatch => write!(f, "a message without a frame"),
            Self::TooManyFrames => write!(f, "a message of more than {MAX_FRAMES} frames"),
        }
    }
}

impl fmt::Display for IdFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(stream) => write!(f, "an OPEN of stream {stream}, which was open before"),
            Self::Unknown(stream) => write!(f, "a frame for stream {stream}, which is not open"),
        }
    }
}

impl std::error::Error for FrameFault {}
impl std::error::Error for IdFault {}
