//! Connections to Telegram: how they are made, and what a client's own one is written to
//! and read from; and the same of a client's end with us.
//!
//! | File | What |
//! |---|---|
//! | `chained.rs` | a connection to another MTProxy, as a client of it has |
//! | `client_end.rs` | what a client is read from and written to: its connection, or a stream that something carries |
//! | `dial.rs` | a new one, straight or through `--via` |
//! | `dial_error.rs` | why there is none, by what can be done about it |
//! | `enciphered.rs` | a connection to a DC that is written to through a cipher |
//! | `line.rs` | a client's own connection to a DC |
//! | `memory_end.rs` | such a stream in memory, for tests |
//! | `next_proxy.rs` | how one to another MTProxy comes to be |
//! | `on_trial.rs` | a line that tells how its route fares |
//! | `own_hellos.rs` | which hellos that come in went out from here |
//! | `place.rs` | a machine of the config's, by its address or its name |
//! | `rest.rs` | for how long what failed is left alone; pure |
//! | `starvation.rs` | when a line shows that its route works or not; pure |
//! | `through.rs` | the `--via`: its handshake, and how it has fared |
//! | `trial.rs` | what a line holds that is watched for that |
//! | `web.rs` | how a WebSocket to a web server comes to be |
//! | `web_tickets.rs` | what web servers gave us for our next connection to them |
//! | `web_trust.rs` | which web servers are taken for what they say they are |
//! | `websocket.rs` | a DC's connection inside a WebSocket inside TLS |

#[cfg(feature = "tls")]
mod chained;
mod client_end;
mod dial;
mod dial_error;
mod enciphered;
mod line;
#[cfg(test)]
mod memory_end;
#[cfg(feature = "tls")]
mod next_proxy;
mod on_trial;
#[cfg(feature = "tls")]
mod own_hellos;
mod place;
mod rest;
mod starvation;
mod through;
mod trial;
#[cfg(feature = "tls")]
mod web;
#[cfg(feature = "tls")]
mod web_tickets;
#[cfg(feature = "tls")]
mod web_trust;
#[cfg(feature = "tls")]
mod websocket;

pub(crate) use client_end::{Askable, ClientEnd, StreamEnd};
pub(crate) use dial::Dialer;
pub(crate) use dial_error::DialError;
pub(crate) use line::Line;
#[cfg(test)]
pub(crate) use memory_end::{MemoryApp, memory_stream};
#[cfg(feature = "tls")]
pub(crate) use next_proxy::{ChainedClient, GreetError, Greeted};
pub(crate) use on_trial::OnTrial;
#[cfg(feature = "tls")]
pub(crate) use own_hellos::OwnHellos;
#[cfg(feature = "tls")]
pub(crate) use place::Place;
pub(crate) use rest::{Rest, Rests};
pub(crate) use starvation::Finding;
pub(crate) use trial::{Subject, Trial, Trials};
#[cfg(feature = "tls")]
pub(crate) use web::{FreshWebSocket, WebContext, WebError, WebRequest};
#[cfg(feature = "tls")]
pub(crate) use web_trust::WebTrust;
#[cfg(feature = "tls")]
pub(crate) use websocket::Messages;
