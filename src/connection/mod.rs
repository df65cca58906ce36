//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `enciphered.rs` | a connection to a DC that is written to through a cipher |

mod enciphered;

pub(crate) use enciphered::Enciphered;
