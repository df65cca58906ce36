//! The client's side of another MTProxy, by which ours reaches Telegram
//! (`doc/protocol.md` §12).
//!
//! | File | What |
//! |---|---|
//! | `greeting.rs` | a fake-TLS hello of ours, and whether the answer proves the secret |
//! | `to_padded.rs` | a client's packets of another transport as padded ones |
//! | `from_padded.rs` | padded answers in the client's transport |

mod from_padded;
mod greeting;
mod to_padded;

pub use from_padded::{FromPadded, HEADROOM, MAX_ANSWER, PaddedError};
pub use greeting::{GreetingError, ProxyAnswer, RECORD_TO_PROXY, greet};
pub use to_padded::{Padding, Repacked, ToPadded};

#[cfg(test)]
mod tests;
