//! HTTP/1.1 as a client, with TLS or without. All of it blocks: it is for threads that
//! may wait, never for the one that serves clients.
//!
//! | File | What |
//! |---|---|
//! | `get.rs` | a page at a URL, through redirects |
//! | `through.rs` | a connection by way of `--via`, and what may be wrong with it |
//! | `time.rs` | the time at a server, from its `Date` |
//! | `timed_stream.rs` | a TCP connection with one deadline for everything |

#[cfg(feature = "tls")]
mod get;
mod through;
mod time;
mod timed_stream;

#[cfg(feature = "tls")]
pub(crate) use get::{GetError, get};
#[cfg(feature = "check")]
pub(crate) use through::time_through;
pub(crate) use through::{
    CONNECT_LIMIT, HANDSHAKE_LIMIT, STEP_LEN, ThroughError, ViaFault, lost_to,
};
pub(crate) use time::time_at;
