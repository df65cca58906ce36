//! Bytes to values and back, for every protocol that the proxy speaks.
//!
//! No sockets, no clock, no tasks: time and randomness are parameters, buffers
//! belong to the caller. Facts: `doc/protocol.md`. What counts the bytes that one
//! side may send the other stands beside them ([`link::window`]).
#![forbid(unsafe_code)]

pub mod after_flight;
mod bytes;
pub mod calendar;
pub mod client_hello;
mod curve25519;
pub mod dc;
pub mod fake_tls;
pub mod flight_length;
pub mod frames;
pub mod full;
pub mod http;
pub mod http_date;
pub mod invite;
mod key_share;
pub mod learnt_flight;
pub mod link;
pub mod middle_keys;
pub mod obfuscated2;
pub mod proxy_config;
pub mod proxy_protocol;
pub mod rpc;
pub mod secret;
pub mod server_hello;
pub mod site_flight;
pub mod site_hello;
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;
