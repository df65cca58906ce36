//! What the integration tests and benchmarks stand on:
//!
//! - [`telegram`]: a strict fake Telegram (middle proxies, direct DCs, the
//!   configuration over HTTP) that notes every violation of the protocol and
//!   misbehaves on request;
//! - [`web_front`]: the same Telegram behind TLS and WebSocket, as strict and as
//!   ill-mannered: its web front, a Cloudflare zone before it, a Worker;
//! - [`host`]: where it runs: on its own threads, or driven by a test in a time
//!   that the test turns;
//! - [`client`]: a Telegram client of every transport;
//! - [`via`]: strict SOCKS5 and HTTP CONNECT servers on the way to Telegram;
//! - [`web_app`]: the other end of a WEB proxy: apps with streams inside of web pages;
//! - [`harness`]: the proxy's built binary as a child process.
//!
//! The protocol is implemented apart from the proxy's own code.

pub mod client;
pub mod control;
pub mod counters;
pub mod crypto;
mod direct;
pub mod fairness;
pub mod harness;
pub mod host;
mod http;
mod middle;
mod obfuscated;
mod outbox;
pub mod payload;
pub mod secret;
#[cfg(test)]
mod self_test;
mod service;
mod shared;
pub mod socket;
pub mod telegram;
pub mod tls;
pub mod transport;
pub mod via;
pub mod wait;
mod watched;
pub mod web_app;
pub mod web_front;
