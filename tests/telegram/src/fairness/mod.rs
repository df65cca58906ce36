//! What one user of a proxy can take from the others: set-ups, attackers, those
//! who are watched meanwhile, and the trials that bring them together. The
//! integration tests hold the trials to limits, the benchmarks print their
//! figures.

pub mod attack;
pub mod matrix;
pub mod outcome;
pub mod relay;
#[cfg(test)]
mod self_test;
pub mod setup;
pub mod trials;
pub mod watch;
mod ways;

pub use matrix::MATRIX;
pub use outcome::{Outcome, Waits};
pub use setup::{Arena, GUEST, Layout, Setup};
pub use ways::First;
