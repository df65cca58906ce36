//! TLS 1.3 as the link and the fetches speak it.

mod provider;

pub use provider::{client, has_aes, provider, public_roots};
