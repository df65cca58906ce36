//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `dial.rs` | a new one, straight or through `--via` |
//! | `place.rs` | a machine of the config's, by its address or its name |
//! | `rest.rs` | when something is left alone that has failed; pure |
//! | `through.rs` | the `--via`: its handshake, and how it has fared |

mod dial;
mod place;
mod rest;
mod through;

pub(crate) use dial::{DialError, Dialer};
