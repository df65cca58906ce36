//! WebSockets (RFC 6455): slices in, slices out, no payload is kept.
//!
//! As a client, messages are a stream of bytes, as Telegram's web front and a Worker serve
//! it (`doc/protocol.md` §11). As a server, for WEB sessions (§13), they are whole batches.
//!
//! | File | What |
//! |---|---|
//! | `upgrade.rs` | as a client: the request that opens it, and the head of the answer |
//! | `from_server.rs` | payloads and control frames in what the server sends |
//! | `to_server.rs` | what stands before a message of ours, and our control frames |
//! | `accept.rs` | as a server: the answer to the key of such a request |
//! | `from_client.rs` | messages and control frames in what the client sends |
//! | `to_client.rs` | what stands before a message to it, and our control frames |
//! | `head.rs` | the first bytes of any frame |
//! | `last_word.rs` | what a close frame says |
//! | `error.rs` | what is wrong with a frame |

mod accept;
mod error;
mod from_client;
mod from_server;
mod head;
mod last_word;
mod to_client;
mod to_server;
mod upgrade;

pub use accept::{ACCEPT_LEN, KEY_LEN, accept_key};
pub use error::FrameError;
pub use from_client::{ClientFrameReader, ClientPiece};
pub use from_server::{FrameReader, MAX_FRAME, Piece};
pub use last_word::Close;
pub use to_client::{
    ServerControl, ServerHeader, server_close, server_header, server_ping, server_pong,
};
pub use to_server::{ControlFrame, MessageHeader, close, message_header, pong};
pub use upgrade::{MAX_HEAD, UpgradeAnswer, UpgradeError, request};

/// What a control frame carries.
pub type ControlBody = heapless::Vec<u8, MAX_SHORT, u8>;

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
