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
//! | `executor.rs` | the tasks, in two ranks |
//! | `fair_turnstile.rs` | long work on other threads, in fair turn |
//! | `listener.rs` | sockets that listen |
//! | `live.rs` | settings that a reload replaces |
//! | `local.rs` | whether an address is this machine's |
//! | `lookup.rs` | names looked up by DNS, few at a time |
//! | `missing.rs` | what the kernel lacks, for `check` |
//! | `memory.rs` | the sizes that memory comes in: the scratch buffer and the chunk |
//! | `notify.rs` | wakes tasks that wait for a change |
//! | `one_way.rs` | one direction of a relay whose bytes nobody looks at |
//! | `padding.rs` | random bytes for packets |
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
mod executor;
#[cfg(feature = "tls")]
mod fair_turnstile;
mod listener;
mod live;
mod local;
mod lookup;
mod memory;
#[cfg(feature = "check")]
mod missing;
mod notify;
mod one_way;
mod padding;
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
pub(crate) mod test_help;
mod timer;
pub(crate) mod trunk;
mod turnstile;
mod unblock;
pub(crate) mod workloads;

pub(crate) use addresses::AddressWatch;
pub(crate) use backoff::{Backoff, Jitter};
pub(crate) use buffer_pool::BufferPool;
pub(crate) use bulk::Bulk;
pub(crate) use counting::Counting;
pub(crate) use executor::{Executor, READS_PER_TURN};
#[cfg(feature = "tls")]
pub(crate) use fair_turnstile::FairTurnstile;
pub(crate) use listener::{Listener, Opened};
pub(crate) use live::Live;
pub(crate) use local::is_local_address;
#[cfg(feature = "check")]
pub(crate) use lookup::resolve;
pub(crate) use lookup::{Lookup, LookupRules};
pub(crate) use memory::{CHUNK_LEN, SCRATCH_LEN, Scratch};
#[cfg(feature = "check")]
pub(crate) use missing::missing_features;
pub(crate) use notify::Notify;
pub(crate) use one_way::{OneWay, OneWayParts};
pub(crate) use padding::PaddingSource;
pub(crate) use pause::Pause;
pub(crate) use pipes::PipePool;
pub(crate) use random::{fill_random, random_part};
pub(crate) use reactor::Reactor;
#[cfg(test)]
pub(crate) use reactor::virtual_time::Watch;
pub(crate) use reservation::Reservation;
pub(crate) use room::{Destination, User};
pub(crate) use rope::{Rope, TakesSlices};
pub(crate) use socket::{Keepalive, Socket};
pub(crate) use timer::Timer;
pub(crate) use turnstile::Turnstile;
pub(crate) use unblock::unblock;
