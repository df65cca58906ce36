//! HTTP/1.1 as a client, with TLS or without. All of it blocks: it is for threads that
//! may wait, never for the one that serves clients.
//!
//! | File | What |
//! |---|---|
//! | `get.rs` | a page at a URL, through redirects |
//! | `time.rs` | the time at a server, from its `Date` |
//! | `timed_stream.rs` | a TCP connection with one deadline for everything |

#[cfg(feature = "tls")]
mod get;
mod time;
mod timed_stream;

#[cfg(feature = "tls")]
pub(crate) use get::{GetError, get};
pub(crate) use time::time_at;
