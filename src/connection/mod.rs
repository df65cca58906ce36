//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `starvation.rs` | when a line shows that its route works or not; pure |
//! | `trial.rs` | what a line holds that is watched for that |

mod starvation;
mod trial;

pub(crate) use starvation::Finding;
pub(crate) use trial::{Subject, Trial, Trials};
