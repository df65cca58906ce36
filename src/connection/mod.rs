//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `dial.rs` | a new one, straight or through `--via` |

mod dial;

pub(crate) use dial::{DialError, Dialer};
