//! Bytes to values and back, for every protocol that the proxy speaks.
//!
//! No sockets, no clock, no tasks: time and randomness are parameters, buffers
//! belong to the caller. Facts: `doc/protocol.md`.

pub mod dc;
pub mod obfuscated2;
pub mod secret;
pub mod transport;
