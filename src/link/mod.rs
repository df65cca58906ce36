//! Front and back: a [`Backend`](crate::backend::Backend) through a connection
//! to another machine. Protocol: `doc/split-mode.md`; bytes: [`crate::wire::link`].
//!
//! Either side runs one task a link (`driver`); the streams on it are small
//! structs that other tasks reach through `Rc`. They never call their link, they
//! leave it notes (`notes`). What a stream sends is bounded by the credit that the
//! other side gives it (`stream_flow`), what waits for the kernel by a limit of the link
//! (`connection`). The numbers of both, and what each front may take of a back, are
//! plain values (`window`). What a link has in common with a connection to a middle
//! proxy is in [`crate::net::trunk`]; after which silence the other side is taken to be
//! gone says `patience`.

mod back;
#[cfg(feature = "tls")]
pub mod certificates;
mod channel;
mod connection;
mod driver;
mod fault;
mod front;
mod handshake;
mod notes;
mod patience;
mod security;
mod share;
mod stream_flow;
#[cfg(test)]
mod test_link;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::config::LinkPlaces;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Keepalive, Reactor, Scratch, Socket};
use crate::wire::link::whole::{Limits, Whole};
use crate::wire::link::window::Sizes;

pub use back::{Back, BackListener};
pub use front::Front;
#[cfg(feature = "check")]
pub use front::Trial;
pub use patience::Patience;
#[cfg(feature = "tls")]
pub use security::Concern;
pub use security::{Security, SecurityFiles, SetupError};

/// From connecting to the end of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A stream's window, a share of `--buffers`, and how far it grows while what
/// comes is taken at once: 1 MiB is 80 Mbit/s for one client at 100 ms.
const WINDOW_SHARE: usize = 64;
const MIN_WINDOW: usize = 32 * 1024;
const MAX_FIRST_WINDOW: usize = 64 * 1024;
const MAX_WINDOW: usize = 1 << 20;

/// What both halves of the proxy need for a link.
pub struct LinkContext {
    pub reactor: Rc<Reactor>,
    pub executor: Rc<Executor>,
    pub buffers: Rc<BufferPool>,
    pub scratch: Rc<Scratch>,
    pub metrics: Rc<Metrics>,
    /// With links that say nothing.
    pub patience: Patience,
    /// How many seats, links and streams a back has.
    pub places: LinkPlaces,
}

impl LinkContext {
    /// Bytes that a stream may send before it is given more credit.
    fn window(&self) -> usize {
        self.largest_window().min(MAX_FIRST_WINDOW)
    }

    /// What that grows to.
    fn largest_window(&self) -> usize {
        let share = self.buffers.total_bytes() / WINDOW_SHARE;
        share.clamp(MIN_WINDOW, MAX_WINDOW)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            first: self.window() as u32,
            largest: self.largest_window() as u32,
        }
    }

    /// What all streams of this side share.
    fn whole(&self) -> Rc<RefCell<Whole>> {
        Rc::new(RefCell::new(Whole::new(Limits {
            buffers: self.buffers.total_bytes().max(8 * MIN_WINDOW),
            links: self.places.links,
            streams: self.places.streams,
            lines: self.places.lines,
        })))
    }
}

fn prepare(socket: &Socket, patience: &Patience) {
    socket.set_nodelay();
    socket.set_keepalive(Keepalive {
        interval: patience.ping_every,
        probes: 3,
        user_timeout: patience.silence_limit,
    });
}

/// Whose stream has a number.
enum StreamSlot<T> {
    Live(Rc<T>),
    /// We have said its end, the other side has not yet.
    Leaving,
}
