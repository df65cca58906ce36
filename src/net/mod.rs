//! Sockets, readiness, timers and buffers for one thread.
//!
//! | File | What |
//! |---|---|
//! | `addresses` | news of this machine's addresses, from the kernel |
//! | `backoff` | the waits between attempts that fail, and their jitter |
//! | `buffer_pool` | the memory for bytes that wait, in chunks |
//! | `bulk` | bytes that go through a pipe, by splice(2), where that pays |
//! | `claims` | large packets in the buffers: tells those who wait what `room` says |
//! | `comfort` | socket options that may fail |
//! | `counting` | counts something for as long as it is there |
//! | `enciphered` | a connection to a DC that is written to through a cipher |
//! | `executor` | the tasks, in two ranks |
//! | `listener` | sockets that listen |
//! | `live` | settings that a reload replaces |
//! | `local` | whether an address is this machine's |
//! | `lookup` | names looked up by DNS, few at a time |
//! | `memory` | the sizes that memory comes in: the scratch buffer and the chunk |
//! | `notify` | wakes tasks that wait for a change |
//! | `one_way` | one direction of a relay whose bytes nobody looks at |
//! | `pause` | a wait that may be cut short |
//! | `pipes` | the pipes for splice(2) |
//! | `presence` | asks the kernel whether a peer is there |
//! | `random` | randomness, from the kernel |
//! | `reactor` | waits for sockets and timers: epoll |
//! | `reactor/timers` | the timers that are set |
//! | `reactor/virtual_time` | for tests: time that goes on when nothing else can |
//! | `reservation` | the room of one large packet |
//! | `room` | who may take buffers for a large packet; pure |
//! | `room/claim` | one large packet: what it holds, and how it comes |
//! | `room/giving` | what is free, given to one after another |
//! | `room/parties` | whose packets there are, and where they go |
//! | `room/queue` | who waits, in which order, and who is called |
//! | `room/revocations` | who has to give up what it holds |
//! | `room/turns` | who may begin a packet while others wait |
//! | `rope` | a queue of bytes in chunks of the pool |
//! | `socket` | one connection: how it comes to be, its options, its end |
//! | `socket/bytes` | reading and writing, which never wait |
//! | `test_help` | for tests: pairs of sockets, wakers that count |
//! | `timer` | a deadline that can be moved |
//! | `trunk` | what connections need that many share |
//! | `trunk/headroom` | when those who share one have to wait, and go on |
//! | `trunk/life` | whether the other side is there |
//! | `trunk/task_slot` | how those who share one reach its task |
//! | `turnstile` | work that blocks, one piece at a time |
//! | `unblock` | work that blocks, on another thread |
//! | `workloads` | for `tests/guard`, which counts instructions |

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
