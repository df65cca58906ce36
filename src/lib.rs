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
mod connection;
#[cfg(feature = "ctl")]
mod control;
mod guard;
mod http;
mod link;
mod metrics;
mod net;
mod telegram;
#[cfg(feature = "tls")]
mod tls;
mod web;

use smol_mtproxy_wire as wire;

/// Does what the command line says; `words` are without the program's own name. The
/// status that the process is to end with, as in sysexits(3).
pub fn main(words: &[String]) -> u8 {
    cli::main(words) as u8
}

/// What programs that test this one from outside need of it: no part of its
/// interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::guard::table::{ReadTable, Table};

    /// Hands the log's lines to a thread of their own.
    pub fn detach() -> std::io::Result<()> {
        crate::log::detach()
    }

    /// The fixed work of the room of buffers whose instructions are counted.
    pub fn claims(rounds: u32) -> u64 {
        crate::net::workloads::claims(rounds)
    }

    /// A line of the log.
    pub fn info(line: &str) {
        info!("{line}");
    }
}
