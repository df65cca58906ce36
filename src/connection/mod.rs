//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `dial.rs` | a new one, straight or through `--via` |
//! | `enciphered.rs` | a connection to a DC that is written to through a cipher |
//! | `line.rs` | a client's own connection to a DC |
//! | `on_trial.rs` | a line that tells how its route fares |
//! | `starvation.rs` | when a line shows that its route works or not; pure |
//! | `trial.rs` | what a line holds that is watched for that |
//! | `web.rs` | how a WebSocket to a web server comes to be |
//! | `web_trust.rs` | which web servers are taken for what they say they are |
//! | `websocket.rs` | a DC's connection inside a WebSocket inside TLS |

mod dial;
mod enciphered;
mod line;
mod on_trial;
mod starvation;
mod trial;
#[cfg(feature = "tls")]
mod web;
#[cfg(feature = "tls")]
mod web_trust;
#[cfg(feature = "tls")]
mod websocket;

pub(crate) use dial::{DialError, Dialer};
pub(crate) use line::Line;
pub(crate) use on_trial::OnTrial;
pub(crate) use starvation::Finding;
pub(crate) use trial::{Subject, Trial, Trials};
#[cfg(feature = "tls")]
pub(crate) use web::{FreshWebSocket, WebContext, WebError, WebRequest};
#[cfg(feature = "tls")]
pub(crate) use web_trust::WebTrust;
