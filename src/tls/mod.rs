//! TLS 1.3 as the link and the fetches speak it, both sides of it.
//!
//! rustls shakes hands (`shaking`) and makes the keys (`schedule`); the records
//! behind the handshake are those of [`crate::wire::tls`], sealed (`writer`) and
//! opened (`stream`) in the shared buffers, so that a byte is copied once each way
//! and not four times. Until rustls 0.24, whose split connections do the same.
//!
//! Whom a [`TlsStream`] trusts is in the configs of rustls that it is made with;
//! whom it takes and what an error means for people its [`Judge`] says.

mod error;
mod provider;
mod schedule;
mod shaking;
mod stream;
#[cfg(test)]
mod tests;
mod writer;
pub mod x509;

pub use crate::wire::tls::MAX_RECORD;
pub use error::Error;
pub use provider::{client, has_aes, provider, public_roots};
pub use shaking::Peer;
pub use stream::{Judge, TlsContext, TlsStream};
pub use writer::{Batch, Writer};
