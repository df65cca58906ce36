//! Sockets, readiness, timers and buffers for one thread.
//!
//! [`Reactor`] waits, [`Socket`] and [`Listener`] do the system calls,
//! [`BufferPool`] and [`Rope`] hold what cannot be handed on at once; `room` says
//! who may take of it for large packets.

mod addresses;
mod buffer_pool;
mod comfort;
mod executor;
mod flow;
#[doc(hidden)]
pub mod guarded;
#[cfg(feature = "tls")]
mod http_get;
mod http_time;
mod listener;
mod live;
mod local;
mod lookup;
mod notify;
mod pause;
mod pipes;
mod presence;
mod random;
mod reactor;
mod reservation;
mod room;
mod rope;
mod scratch;
mod socket;

mod timed_stream;
mod timer;
#[cfg(feature = "tls")]
pub mod tls;
mod turnstile;
mod unblock;

pub use addresses::AddressWatch;
pub use buffer_pool::{BufferPool, CHUNK_LEN, Claims};
pub use executor::Executor;
pub use flow::{Flow, FlowParts};
#[cfg(feature = "tls")]
pub use http_get::{GetError, Page, get};
pub use http_time::time_at;
pub use listener::{BACKLOG, Listener, Opened};
pub use live::Live;
pub use local::{is_global, is_internal, is_local_address};
pub use lookup::look_up;
pub use notify::Notify;
pub use pause::Pause;
pub use pipes::{Pipe, PipePool};
pub use random::{fill_random, random_part};
pub use reactor::Reactor;
#[cfg(test)]
pub use reactor::standing::Watch;
pub use reservation::Reservation;
pub use room::{Destination, User};
pub use rope::Rope;
pub use scratch::{SCRATCH_LEN, Scratch};
pub use socket::{Keepalive, Socket};

pub use timer::Timer;
pub use turnstile::Turnstile;
pub use unblock::unblock;
