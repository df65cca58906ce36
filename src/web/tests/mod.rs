//! Web sessions over socket pairs, in virtual time. The app is the tests' own.

mod app;
mod decisions;
mod doors;
mod fairness;
mod limits;
mod requests;
mod sockets;
mod world;
