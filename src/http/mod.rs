//! HTTP/1.1 as a client, over TLS too: pages and the time at a server. All of it
//! blocks, for threads that may wait.

#[cfg(feature = "tls")]
mod get;
mod time;
mod timed_stream;

#[cfg(feature = "tls")]
pub use get::{GetError, Page, get};
pub use time::time_at;
