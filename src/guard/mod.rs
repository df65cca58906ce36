//! Who may come in: replays, policies, tables, per-secret limits, floods,
//! who gives way where there is no room.
//!
//! No sockets and no clock: the time is a parameter. Whatever is counted is
//! counted by a permit that gives its place back when it is dropped, so that no
//! exit path can leak one.
//!
//! | File | What |
//! |---|---|
//! | `gate` | all of them together: what the other rooms ask |
//! | `gate/memory` | the handshakes that have come, also in earlier runs |
//! | `flood` | new connections by subnet |
//! | `half_open` | places of those who have proven nothing |
//! | `fair_queue` | who of them goes first |
//! | `acquaintances` | addresses that have proven a secret lately |
//! | `policy` | `--policy`, and the clients that it counts |
//! | `table` | `--table`: addresses and names |
//! | `table/error` | what is wrong with one |
//! | `table/shown` | what the operator sees of one |
//! | `limits` | expiry, quota, rate and numbers of a secret |
//! | `limits/shown` | secrets as the operator sees them |
//! | `usage` | what secrets have used, as text |
//! | `roll_call` | when the sessions of a full secret are asked whether they are there |
//! | `replay` | handshakes that must not come again |
//! | `replay/generation` | some of them, in a hash table |
//! | `replay/uptimes` | those that do not tell their time, for ever |
//! | `replay/shares` | how many of these one address may add |
//! | `replay/journal` | what of them is to be written to a file |
//! | `replay/saved` | files that the next run reads |

pub(crate) mod acquaintances;
pub(crate) mod fair_queue;
pub(crate) mod flood;
pub(crate) mod gate;
pub(crate) mod half_open;
pub(crate) mod limits;
pub(crate) mod policy;
pub(crate) mod replay;
pub(crate) mod roll_call;
pub(crate) mod table;
pub(crate) mod usage;
