//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
