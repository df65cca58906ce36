//! The connection between a front and a back, two machines that are one proxy: on a
//! front a [`Backend`](crate::backend::Backend), on a back what opens the sessions that
//! fronts ask for. What is said on it: `doc/split-mode.md`; its bytes: [`crate::wire::link`].
//!
//! Each link has one task. Each client on it has a stream: a small struct that the
//! link's task and the client's own share through `Rc`. A link calls its streams; they
//! never call it, which might be inside of them: they leave it notes.
//!
//! A stream sends what the other side gives credit for. What waits for the kernel has a
//! limit of its own. The numbers of both, and what each front may take of a back, are
//! plain values in `wire`. What a link has in common with a connection to a middle proxy
//! is in [`crate::net::trunk`].
//!
//! | File | What |
//! |---|---|
//! | `handshake.rs` | from a socket to a link: who speaks first, proofs of the key, the trial of `check` |
//! | `security.rs` | who gets a link, by certificate or key, and whether others can read it |
//! | `certificates.rs` | the command `certs`: makes, renews and revokes certificates |
//! | `channel.rs` | what frames go through, plain or TLS |
//! | `connection.rs` | a link as its streams see it: to send, to wait for room, to leave notes |
//! | `pulse.rs` | whether the other side is there, and how far away it is |
//! | `driver.rs` | the task of a link: reads, sorts frames, writes |
//! | `notes.rs` | what streams leave for their link |
//! | `stream_flow.rs` | one stream's bytes each way: credit, and what waits for it |
//! | `shown.rs` | a link as the operator sees it |
//! | `share.rs` | who is at the other end, and what that one takes of what all share |
//! | `silence.rs` | after how much silence something is done |
//! | `fault.rs` | why a link ended, for the log, the metrics and the other side |
//! | `front/` | the front's half: dials backs, gives each client to a link |
//! | `back/` | the back's half: takes links, opens sessions |
//! | `test_link.rs` | links for the tests of both halves |

mod back;
#[cfg(feature = "tls")]
pub(crate) mod certificates;
mod channel;
mod connection;
mod driver;
mod fault;
mod front;
mod handshake;
mod notes;
mod pulse;
mod security;
mod share;
#[cfg(feature = "ctl")]
mod shown;
mod silence;
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

pub(crate) use back::{Back, BackListener};
pub(crate) use front::Front;
#[cfg(feature = "check")]
pub(crate) use front::Trial;
#[cfg(all(feature = "tls", feature = "check"))]
pub(crate) use security::Concern;
pub(crate) use security::{Security, SecurityFiles, SetupError};
#[cfg(feature = "ctl")]
pub(crate) use shown::{LinkState, ShownLink};
pub(crate) use silence::Silence;

/// From connecting to the end of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The largest window of a stream, a 64th of `--buffers` within these: 1 MiB is 80
/// Mbit/s for one client at 100 ms. It begins with less, and grows while what comes is
/// taken at once.
const WINDOW_SHARE: usize = 64;
const MIN_WINDOW: usize = 32 * 1024;
const MAX_FIRST_WINDOW: usize = 64 * 1024;
const MAX_WINDOW: usize = 1 << 20;

/// What both halves of the proxy need for a link.
pub(crate) struct LinkContext {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) metrics: Rc<Metrics>,
    /// How long a link may say nothing.
    pub(crate) silence: Silence,
    /// How many seats, links and streams a back has.
    pub(crate) places: LinkPlaces,
}

impl LinkContext {
    /// The bytes of a stream that this side takes before it gives more credit.
    fn window(&self) -> usize {
        self.largest_window().min(MAX_FIRST_WINDOW)
    }

    /// What that grows to for a stream whose bytes are taken at once.
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

fn prepare(socket: &Socket, silence: &Silence) {
    socket.set_nodelay();
    socket.set_keepalive(Keepalive {
        interval: silence.ping_every,
        probes: 3,
        user_timeout: silence.silence_limit,
    });
}

/// Who has the number of a stream.
enum StreamSlot<T> {
    Live(Rc<T>),
    /// A stream that is over here: the other side has not said its end yet, and until
    /// then nobody else gets its number.
    Leaving,
}
