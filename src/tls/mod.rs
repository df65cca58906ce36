//! TLS over our sockets, as the link, the fetches of pages and web fronts use it.
//!
//! rustls shakes hands and makes the keys. The records behind the handshake are ours,
//! those of [`crate::wire::tls`]: they are sealed and opened in buffers that all
//! connections share, so that a byte is copied once each way, where rustls 0.23 copies it
//! four times. The split connections of rustls 0.24 will do the same and take their place.
//!
//! That is TLS 1.3, and the link speaks nothing else. Servers of others may have only TLS
//! 1.2, which needs the extended master secret; its records are rustls' own.
//!
//! Whom a [`TlsStream`] trusts is in the config of rustls that it is made with. What
//! only its user knows its [`Judge`] says: whom to turn away all the same, and what an
//! error means to people.
//!
//! | File | What |
//! |---|---|
//! | `provider.rs` | which ciphers, signatures and authorities rustls takes |
//! | `shaking.rs` | the handshake, by rustls |
//! | `side.rs` | rustls' connection, and doing what it asks for |
//! | `schedule.rs` | the keys that a handshake leaves, and those after them |
//! | `accept.rs` | the same on a socket, as a server for everybody |
//! | `server.rs` | what such a server speaks |
//! | `web_client.rs` | what a client of web servers speaks, and whom it trusts |
//! | `by_name.rs` | which certificate it shows to whom |
//! | `host_certificate.rs` | one of these, from its files |
//! | `flight.rs` | how it answers, as a stranger sees it |
//! | `mlkem.rs` | its post-quantum key exchange |
//! | `records.rs` | those behind it, of either version |
//! | `tls12.rs` | those of TLS 1.2, by rustls |
//! | `told.rs` | the secrets that those are made of |
//! | `stream.rs` | one connection: handshake, then records that come in |
//! | `writer.rs` | records that go out |
//! | `x509.rs` | reads a certificate: its name, its dates, its fingerprints |
//! | `error.rs` | why a connection ended |

mod accept;
mod by_name;
mod error;
mod flight;
mod host_certificate;
#[cfg(feature = "ml-kem")]
mod mlkem;
mod provider;
mod records;
mod schedule;
mod server;
mod shaking;
mod side;
mod stream;
#[cfg(test)]
mod tests;
mod tls12;
mod told;
mod web_client;
mod writer;
pub(crate) mod x509;

pub(crate) use crate::wire::tls::MAX_RECORD;
pub(crate) use accept::{AcceptContext, accept, accept_away};
pub(crate) use by_name::ByName;
pub(crate) use error::Error;
pub(crate) use flight::{answer_time, profile};
pub(crate) use host_certificate::{CertificateError, Concern, HostCertificate};
#[cfg(test)]
pub(crate) use provider::{WEB_VERSIONS, web_provider};
pub(crate) use provider::{client, has_aes, provider, public_roots, roots_in};
#[cfg(feature = "acme")]
pub(crate) use server::challenge_server;
pub(crate) use server::{server, tickets};
pub(crate) use shaking::Peer;
pub(crate) use stream::{Judge, TlsContext, TlsStream};
pub(crate) use web_client::{Named, Shown, Trust, in_short, web_client};
pub(crate) use writer::{Batch, Writer};
