//! What every connection needs that many share, whatever it carries: whether the other
//! side is there ([`Life`]), when those who share it have to wait and go on
//! ([`Headroom`]), and how they reach the task that owns its socket ([`TaskSlot`]).
//!
//! | File | What |
//! |---|---|
//! | `headroom.rs` | when those who share one have to wait, and go on |
//! | `life.rs` | whether the other side is there |
//! | `task_slot.rs` | how those who share one reach its task |

mod headroom;
mod life;
mod task_slot;

pub(crate) use headroom::Headroom;
pub(crate) use life::{Ask, Life, SilenceRules, Step};
pub(crate) use task_slot::TaskSlot;
