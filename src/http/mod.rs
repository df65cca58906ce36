//! HTTP/1.1, with TLS or without: pages from servers of others, and connections of those
//! who ask us.
//!
//! What fetches pages blocks (`get.rs`, `ask.rs`, `through.rs`, `time.rs`): it is for threads that
//! may wait, never for the one that serves clients.
//!
//! | File | What |
//! |---|---|
//! | `connection.rs` | what HTTP goes over: a socket, or TLS on one |
//! | `context.rs` | what such connections are made with |
//! | `reading.rs` | reads by the shared buffer, and writes |
//! | `exchange.rs` | the server's half of one: requests, bodies, answers |
//! | `status.rs` | the words of a status |
//! | `get.rs` | a page at a URL, through redirects |
//! | `ask.rs` | any request over HTTPS, for ACME |
//! | `through.rs` | a connection by way of `--via`, and what may be wrong with it |
//! | `time.rs` | the time at a server, from its `Date` |
//! | `timed_stream.rs` | a TCP connection with one deadline for everything |

#[cfg(feature = "acme")]
mod ask;
mod connection;
mod context;
mod exchange;
#[cfg(feature = "tls")]
mod get;
mod reading;
mod status;
mod through;
mod time;
mod timed_stream;

#[cfg(feature = "acme")]
pub(crate) use ask::{Request, ask};
pub(crate) use connection::Connection;
pub(crate) use context::HttpContext;
pub(crate) use exchange::{BodyFailure, Exchange, Incoming, Next};
#[cfg(feature = "tls")]
pub(crate) use get::{GetError, get};
pub(crate) use status::phrase;
#[cfg(feature = "check")]
pub(crate) use through::time_through;
pub(crate) use through::{
    CONNECT_LIMIT, HANDSHAKE_LIMIT, STEP_LEN, ThroughError, ViaFault, lost_to,
};
pub(crate) use time::time_at;
#[cfg(any(feature = "check", all(feature = "ping", feature = "tls")))]
pub(crate) use timed_stream::TimedStream;
