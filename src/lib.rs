//! A Telegram MTProto proxy for small routers and small servers.
#![forbid(unsafe_code)]

#[macro_use]
pub mod log;

pub mod backend;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod guard;
pub mod http;
pub mod link;
pub mod metrics;
pub mod net;
pub mod telegram;
#[cfg(feature = "tls")]
pub mod tls;

pub use smol_mtproxy_wire as wire;
