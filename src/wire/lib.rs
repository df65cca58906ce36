//! Bytes to values and back, for every protocol that the proxy speaks.
//!
//! No sockets, no clock, no tasks: time and randomness are parameters, buffers
//! belong to the caller. The facts are in `doc/protocol.md`.
//!
//! | File | What |
//! |---|---|
//! | **Clients** | |
//! | `secret.rs` | the secret of a proxy, its ad tag, the host name in it |
//! | `invite.rs` | the invitation to a proxy, `tg://proxy?…` |
//! | `obfuscated2.rs` | the 64 bytes that begin every connection of a client or to a DC |
//! | `transport.rs` | how packets are delimited behind them |
//! | `packet_meter.rs` | where they begin and end in a client's stream |
//! | `key_exchange.rs` | a client's first question to a DC, and who has answered it |
//! | `frames.rs` | where packets end in a stream that is already encrypted |
//! | `dc.rs` | the number of a data centre |
//! | `proxy_protocol.rs` | the header by which a relay in front of us tells the client's address |
//! | **Fake TLS** | |
//! | `client_hello.rs` | a client's first message, which carries its signature |
//! | `server_hello.rs` | our answer to it |
//! | `acme_hello.rs` | the hello of an authority that looks whether a name leads here |
//! | `key_share.rs`, `curve25519.rs` | public keys in that answer, whose private ones nobody has |
//! | `mlkem768.rs` | a secret for who has sent such a key |
//! | `fake_tls.rs` | the records behind both |
//! | `site_hello.rs` | the hello by which we ask a site how it answers |
//! | `site_flight.rs` | what its answer tells |
//! | `flight_length.rs` | how long such answers are, learnt from several |
//! | `learnt_flight.rs` | all that is learnt of a site, and what to ask next |
//! | `after_flight.rs` | what a real server would make of what comes next |
//! | **Telegram** | |
//! | `proxy_config.rs` | its list of middle proxies |
//! | `full.rs` | frames of a connection to a middle proxy |
//! | `middle_keys.rs` | the keys of one |
//! | `rpc/` | the messages in these frames |
//! | **Front and back** | |
//! | `link/` | frames between them, and what each stream and each front may send |
//! | `tls/` | records of TLS 1.3, sealed and opened |
//! | **Proxies of others** | |
//! | `tunnel.rs` | what is the same for each kind: a target, a login, the steps of a talk, refusals |
//! | `socks5.rs`, `http_connect.rs` | the talk with each, until the connection is the tunnel's |
//! | `via.rs` | the talk with either |
//! | **Pages** | |
//! | `http/` | URLs, heads, bodies, answers |
//! | `http_date.rs` | the date in an answer |
//! | `json.rs` | as much JSON as we write |
//! | **Routes** | |
//! | `next_proxy/` | another MTProxy, as its client |
//! | `websocket/` | the upgrade, frames from a server, frames to it |
//! | **WEB proxy** | |
//! | `web/` | frames of its streams, their credit, capabilities, tokens, links |
//! | `websocket/` | the server's side, which carries them |
//! | **All** | |
//! | `bytes.rs` | fields of messages, and headers that come in pieces |
//! | `calendar.rs` | days and dates |
#![forbid(unsafe_code)]

pub mod acme_hello;
pub mod after_flight;
mod bytes;
pub mod calendar;
pub mod client_hello;
mod curve25519;
pub mod dc;
pub mod fake_tls;
pub mod flight_length;
pub mod frames;
pub mod full;
pub mod http;
pub mod http_connect;
pub mod http_date;
pub mod invite;
pub mod json;
pub mod key_exchange;
mod key_share;
pub mod learnt_flight;
pub mod link;
pub mod middle_keys;
#[cfg(feature = "ml-kem")]
pub mod mlkem768;
pub mod next_proxy;
pub mod obfuscated2;
pub mod packet_meter;
pub mod proxy_config;
pub mod proxy_protocol;
pub mod rpc;
pub mod secret;
pub mod server_hello;
pub mod site_flight;
pub mod site_hello;
pub mod socks5;
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;
mod tunnel;
pub mod via;
pub mod web;
pub mod websocket;
