//! The WEB proxy (`tg://webproxy`, `doc/protocol.md` §13): streams of an app inside of
//! messages that a page of an ordinary site carries.
//!
//! | File | What |
//! |---|---|
//! | `stream_id.rs` | the id of a stream |
//! | `frame.rs` | frames of an app, as they come, and those to it |
//! | `from_relay.rs` | the same from an app's side: a relay's frames, and those that open a stream |
//! | `fault.rs` | what is wrong with an app's frames |
//! | `ids.rs` | the streams of a session, by their ids, and which ids are used up |
//! | `closed.rs` | the ids of streams that were closed lately |
//! | `credit.rs` | how much may be sent on a stream, each way |
//! | `key.rs` | a secret as the WEB proxy knows it |
//! | `capability.rs` | what a page is asked for with |
//! | `token.rs` | what a page gives an app to begin a session with, and what a session is named by |
//! | `page_token.rs` | the token in a page, as an app finds it |
//! | `sieve.rs` | tells noise from these at once |
//! | `code.rs` | the 43 letters that these are written in |
//! | `host.rs`, `path.rs` | where a page is |
//! | `invite.rs` | links to it |

mod capability;
mod closed;
pub mod code;
mod credit;
mod fault;
mod frame;
mod from_relay;
mod host;
mod ids;
mod invite;
mod key;
mod page_token;
mod path;
mod sieve;
mod stream_id;
mod token;

pub use capability::Capability;
pub use credit::{CreditFromApp, CreditToApp, FIRST_CREDIT, GRANT, Overrun};
pub use fault::{FrameFault, IdFault};
pub use frame::{
    FrameReader, HEADER_LEN, HELLO, MAX_BATCH, MAX_PAYLOAD, Piece, WELCOME, close, data_header,
    is_hello, window,
};
pub use from_relay::{RelayFault, RelayFrame, RelayReader, open, pong};
pub use host::{HostError, HostName};
pub use ids::Streams;
pub use invite::{WebInvite, WebInviteError};
pub use key::WebKey;
pub use page_token::token_in_page;
pub use path::{BasePath, PathError};
pub use stream_id::StreamId;
pub use token::{BOOTSTRAP_LIFE, BridgeId, Mint, Ticket, Token, TokenKind};

/// Frames in one message or body.
pub const MAX_FRAMES: usize = 4096;

#[cfg(test)]
mod tests;
