//! Sockets, readiness, timers and buffers for one thread.
//!
//! [`Reactor`] waits, [`Socket`] and [`Listener`] do the system calls,
//! [`BufferPool`] and [`Rope`] hold what cannot be handed on at once; `room` says
//! who may take of it for large packets, [`trunk`] what connections need that many share.
//! Relays share [`Bulk`], which is splice(2) where that pays, and [`Enciphered`], what
//! goes to a DC.

mod addresses;
mod backoff;
mod buffer_pool;
mod bulk;
mod claims;
mod comfort;
mod counting;
mod enciphered;
mod executor;
mod listener;
mod live;
mod local;
mod lookup;
mod memory;
mod notify;
mod one_way;
mod pause;
mod pipes;
mod presence;
mod random;
mod reactor;
mod reservation;
mod room;
mod rope;
mod socket;
#[cfg(test)]
pub mod test_help;
#[doc(hidden)]
pub mod workloads;

mod timer;
pub mod trunk;
mod turnstile;
mod unblock;

pub use addresses::AddressWatch;
pub use backoff::{Backoff, Jitter};
pub use buffer_pool::BufferPool;
pub use bulk::Bulk;
pub use claims::Claims;
pub use counting::Counting;
pub use enciphered::Enciphered;
pub use executor::{Executor, READS_PER_TURN};
pub use listener::{Listener, Opened};
pub use live::Live;
pub use local::is_local_address;
#[cfg(feature = "check")]
pub use lookup::resolve;
pub use lookup::{Lookup, LookupRules};
pub use memory::{CHUNK_LEN, SCRATCH_LEN, Scratch};
pub use notify::Notify;
pub use one_way::{OneWay, OneWayParts};
pub use pause::Pause;
pub use pipes::PipePool;
pub use random::{fill_random, random_part};
pub use reactor::Reactor;
#[cfg(test)]
pub use reactor::virtual_time::Watch;
pub use reservation::Reservation;
pub use room::{Destination, User};
pub use rope::Rope;
pub use socket::{Keepalive, Socket};

pub use timer::Timer;
pub use turnstile::Turnstile;
pub use unblock::unblock;
