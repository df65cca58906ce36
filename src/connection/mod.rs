//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `dial.rs` | a new one, straight or through `--via` |
//! | `starvation.rs` | when a line shows that its route works or not; pure |
//! | `trial.rs` | what a line holds that is watched for that |

mod dial;
mod starvation;
mod trial;

pub(crate) use dial::{DialError, Dialer};
pub(crate) use starvation::Finding;
pub(crate) use trial::{Subject, Trial, Trials};
