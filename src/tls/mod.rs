//! TLS 1.3 over our sockets, as the link and the fetches of pages use it.
//!
//! rustls shakes hands and makes the keys. The records behind the handshake are ours,
//! those of [`crate::wire::tls`]: they are sealed and opened in buffers that all
//! connections share, so that a byte is copied once each way, where rustls 0.23 copies it
//! four times. The split connections of rustls 0.24 will do the same and take their place.
//!
//! Whom a [`TlsStream`] trusts is in the config of rustls that it is made with. What
//! only its user knows its [`Judge`] says: whom to turn away all the same, and what an
//! error means to people.
//!
//! | File | What |
//! |---|---|
//! | `provider.rs` | which ciphers, signatures and authorities rustls takes |
//! | `shaking.rs` | the handshake, by rustls |
//! | `schedule.rs` | the keys that a handshake leaves, and those after them |
//! | `told.rs` | the secrets that those are made of |
//! | `stream.rs` | one connection: handshake, then records that come in |
//! | `writer.rs` | records that go out |
//! | `x509.rs` | reads a certificate: its name, its dates, its fingerprints |
//! | `error.rs` | why a connection ended |

mod error;
mod provider;
mod schedule;
mod shaking;
mod stream;
#[cfg(test)]
mod tests;
mod told;
mod writer;
pub(crate) mod x509;

pub(crate) use crate::wire::tls::MAX_RECORD;
pub(crate) use error::Error;
pub(crate) use provider::{client, has_aes, provider, public_roots};
pub(crate) use shaking::Peer;
pub(crate) use stream::{Judge, TlsContext, TlsStream};
pub(crate) use told::Listener;
pub(crate) use writer::{Batch, Writer};
