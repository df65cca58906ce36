//! Who may come in: replays, policies, tables, per-secret limits, floods,
//! who gives way where there is no room.
//!
//! No sockets and no clock: the time is a parameter. Whatever is counted is
//! counted by a permit that gives its place back when it is dropped, so that no
//! exit path can leak one.

pub mod acquaintances;
mod fair_queue;
pub mod flood;
pub mod gate;
pub mod half_open;
pub mod limits;
pub mod policy;
pub mod replay;
pub mod roll_call;
pub mod table;
pub mod usage;
