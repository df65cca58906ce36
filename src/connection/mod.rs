//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from.
//!
//! | File | What |
//! |---|---|
//! | `dial.rs` | a new one, straight or through `--via` |
//! | `dial_error.rs` | why there is none, by what can be done about it |
//! | `enciphered.rs` | a connection to a DC that is written to through a cipher |
//! | `line.rs` | a client's own connection to a DC |
//! | `on_trial.rs` | a line that tells how its route fares |
//! | `place.rs` | a machine of the config's, by its address or its name |
//! | `rest.rs` | when something is left alone that has failed; pure |
//! | `starvation.rs` | when a line shows that its route works or not; pure |
//! | `through.rs` | the `--via`: its handshake, and how it has fared |
//! | `trial.rs` | what a line holds that is watched for that |
//! | `web.rs` | how a WebSocket to a web server comes to be |
//! | `web_trust.rs` | which web servers are taken for what they say they are |
//! | `websocket.rs` | a DC's connection inside a WebSocket inside TLS |

mod dial;
mod dial_error;
mod enciphered;
mod line;
mod on_trial;
mod place;
mod rest;
mod starvation;
mod through;
mod trial;
#[cfg(feature = "tls")]
mod web;
#[cfg(feature = "tls")]
mod web_trust;
#[cfg(feature = "tls")]
mod websocket;

pub(crate) use dial::Dialer;
pub(crate) use dial_error::DialError;
pub(crate) use line::Line;
pub(crate) use on_trial::OnTrial;
pub(crate) use starvation::Finding;
pub(crate) use trial::{Subject, Trial, Trials};
#[cfg(feature = "tls")]
pub(crate) use web::{FreshWebSocket, WebContext, WebError, WebRequest};
#[cfg(feature = "tls")]
pub(crate) use web_trust::WebTrust;
