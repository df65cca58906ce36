//! A Telegram MTProto proxy for small routers and small servers.
#![forbid(unsafe_code)]

pub mod net;
pub mod wire;
