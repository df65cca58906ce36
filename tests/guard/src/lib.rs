//! What the guard's two halves share, instructions (`main.rs`) and allocations
//! (`tests/allocations`): proxies that are told when to count, and their loads.

pub mod loads;
pub mod marks;
pub mod setup;
