//! The other end of a WEB proxy: what Telegram's apps do with a link of the kind
//! `tg://webproxy`, as strict as the strictest of them. Whatever a relay does that one
//! of them ends a session for is a violation, which ends it here too.
//!
//! - `capability.rs`: secrets, and what is shown of them;
//! - `frames.rs`: frames, to and from bytes;
//! - `rules.rs`: what each app allows a relay, and when it grants credit; no socket in it;
//! - `options.rs`: which app comes, how, to which door;
//! - `channel.rs`: TCP, or TLS over it;
//! - `http.rs`: requests and their answers on a connection that is kept;
//! - `page.rs`: the bridge page, its headers and the token in it;
//! - `api.rs`: the requests of sessions;
//! - `websocket.rs`: WebSocket from the client's end, cut as told;
//! - `session.rs`: a session, its state and who works for it;
//! - `carrier.rs`: who brings its frames, by `https` or by `websocket`;
//! - `stream.rs`: one stream of it;
//! - `bulk.rs`: a session for measurements, which looks at little of what comes;
//! - `gateway.rs`: TCP connections as streams, so that every client may come by WEB;
//! - `origin.rs`: the site behind a WEB proxy, which keeps what it is asked;
//! - `relay.rs`, `relay/talk.rs`: a relay of its own for tests of this strictness, which breaks each rule
//!   on request.

mod api;
mod bulk;
mod capability;
mod carrier;
mod channel;
mod frames;
mod gateway;
mod http;
mod options;
mod origin;
mod page;
pub mod relay;
mod rules;
#[cfg(test)]
mod self_test;
mod session;
mod stream;
mod websocket;

pub use api::{Api, DOWN_WAIT};
pub use bulk::Bulk;
pub use capability::{Secret, capability, invites, unpadded};
pub use frames::{
    CLOSE, CREDIT, DATA, Frame, HELLO, MAX_BATCH, MAX_DATA, MAX_FRAMES, OPEN, PING, PONG, WELCOME,
    WINDOW, frame,
};
pub use gateway::Gateway;
pub use http::{Answer, Connection, Request};
pub use options::{App, Carrier, Cut, Options};
pub use origin::{Origin, Visit};
pub use page::Page;
pub use rules::{Event, Rules};
pub use session::Session;
pub use stream::Stream;
pub use websocket::{Message, Socket};
