//! A Telegram MTProto proxy for small routers and small servers.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

#[macro_use]
mod log;

mod backend;
mod cli;
mod client;
mod clock;
mod config;
mod guard;
mod http;
mod link;
mod metrics;
mod net;
mod telegram;
#[cfg(feature = "tls")]
mod tls;

pub use cli::main;
use smol_mtproxy_wire as wire;

/// What programs that test this one from outside need of it: no part of its
/// interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::guard::table::{ReadTable, Table};
    pub use crate::log::detach;
    pub use crate::net::workloads::claims;

    /// A line of the log.
    pub fn info(line: &str) {
        info!("{line}");
    }
}
