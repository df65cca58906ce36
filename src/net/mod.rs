//! Sockets, readiness, timers and buffers for one thread.
//!
//! | File | What |
//! |---|---|
//! | `addresses.rs` | news of this machine's addresses, from the kernel |
//! | `backoff.rs` | the waits between attempts that fail, and their jitter |
//! | `buffer_pool.rs` | the memory for bytes that wait, in chunks |
//! | `bulk.rs` | bytes that go through a pipe, by splice(2), where that pays |
//! | `claims.rs` | large packets in the buffers: tells those who wait what `room` says |
//! | `comfort.rs` | socket options that may fail |
//! | `counting.rs` | counts something for as long as it is there |
//! | `enciphered.rs` | a connection to a DC that is written to through a cipher |
//! | `executor.rs` | the tasks, in two ranks |
//! | `listener.rs` | sockets that listen |
//! | `live.rs` | settings that a reload replaces |
//! | `local.rs` | whether an address is this machine's |
//! | `lookup.rs` | names looked up by DNS, few at a time |
//! | `memory.rs` | the sizes that memory comes in: the scratch buffer and the chunk |
//! | `notify.rs` | wakes tasks that wait for a change |
//! | `one_way.rs` | one direction of a relay whose bytes nobody looks at |
//! | `pause.rs` | a wait that may be cut short |
//! | `pipes.rs` | the pipes for splice(2) |
//! | `presence.rs` | asks the kernel whether a peer is there |
//! | `random.rs` | randomness, from the kernel |
//! | `reactor.rs` | waits for sockets and timers: epoll |
//! | `reservation.rs` | the room of one large packet |
//! | `room.rs` | who may take buffers for a large packet; pure |
//! | `rope.rs` | a queue of bytes in chunks of the pool |
//! | `socket.rs` | one connection: how it comes to be, its options, its end |
//! | `timer.rs` | a deadline that can be moved |
//! | `trunk.rs` | what connections need that many share |
//! | `turnstile.rs` | work that blocks, one piece at a time |
//! | `unblock.rs` | work that blocks, on another thread |
//! | `workloads.rs` | for `tests/guard`, which counts instructions |

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
mod timer;
pub mod trunk;
mod turnstile;
mod unblock;
pub mod workloads;

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
