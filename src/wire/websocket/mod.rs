//! The client's side of a WebSocket (RFC 6455) whose messages are a stream of bytes, as
//! Telegram's web front and a Worker serve it (`doc/protocol.md` §11): slices in, slices
//! out, no payload is kept.
//!
//! | File | What |
//! |---|---|
//! | `upgrade.rs` | the request that opens it, and the head of the answer |
//! | `from_server.rs` | payloads and control frames in what the server sends |
//! | `to_server.rs` | what stands before a message of ours, and our control frames |

mod from_server;
mod to_server;
mod upgrade;

pub use from_server::{Close, ControlBody, FrameError, FrameReader, MAX_FRAME, Piece};
pub use to_server::{ControlFrame, MessageHeader, close, message_header, pong};
pub use upgrade::{KEY_LEN, MAX_HEAD, UpgradeAnswer, UpgradeError, request};

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The longest payload of a control frame, and of any frame whose length is in its second
/// byte.
const MAX_SHORT: usize = 125;
/// Says that the length is in the two bytes that follow.
const LENGTH_16: u8 = 126;
/// In the eight bytes that follow.
const LENGTH_64: u8 = 127;

#[cfg(test)]
mod tests;
