//! Records of TLS 1.3 behind a handshake, sealed and opened where they lie
//! (RFC 8446 §5): slices in, slices out. Whoever has shaken hands brings the keys
//! ([`KeySchedule`]); the ciphers are ring's.
//!
//! They are ours until rustls 0.24, whose split connections do the same: those of
//! 0.23 copy a byte four times on its way, this once.

mod opener;
mod partial;
mod record;
mod sealer;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;

pub use opener::{End, Opened, Opener};
pub use partial::Partial;
pub use record::{Cipher, HEADER_LEN, Key, Kind, MAX_CONTENT, MAX_RECORD, RECORD_LEN, TAIL_LEN};
pub use sealer::{RECORDS_PER_KEY, Sealer};
pub use secret::TrafficSecret;

/// Makes the keys that follow the first ones.
pub trait KeySchedule {
    fn next_to_peer(&mut self) -> Result<Key, TlsError>;
    fn next_from_peer(&mut self) -> Result<Key, TlsError>;
    /// Only servers give tickets.
    fn may_get_tickets(&self) -> bool;
    /// One of these, by which the next handshake may be shorter.
    fn take_ticket(&mut self, _ticket: &[u8]) {}
}

/// What is wrong with the records of a peer, or keeps ours from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A record that the key does not fit.
    Open,
    /// No record, or one with what is none of TLS 1.3.
    ContentType,
    RecordTooLong,
    MessageTooLong,
    /// More messages of TLS itself than data would come with.
    TooManyMessages,
    /// A message of TLS that has no place behind a handshake.
    OutOfPlace,
    /// The peer's own words: the number of its alert.
    Alert(u8),
    /// Ours: it could not be sealed.
    Seal,
    /// There is no next one, or none of a cipher of [`Cipher`].
    NoKey,
}

impl TlsError {
    /// The number of the alert that tells the peer.
    pub fn alert(self) -> u8 {
        const UNEXPECTED_MESSAGE: u8 = 10;
        const BAD_RECORD_MAC: u8 = 20;
        const RECORD_OVERFLOW: u8 = 22;
        match self {
            Self::Open => BAD_RECORD_MAC,
            Self::RecordTooLong => RECORD_OVERFLOW,
            _ => UNEXPECTED_MESSAGE,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "a record that its key does not open"),
            Self::ContentType => write!(f, "no record of TLS 1.3"),
            Self::RecordTooLong => write!(f, "a record that is too long"),
            Self::MessageTooLong => write!(f, "a message of TLS that is too long"),
            Self::TooManyMessages => write!(f, "too many messages of TLS"),
            Self::OutOfPlace => write!(f, "a message of TLS that has no place here"),
            Self::Alert(number) => write!(f, "the alert {number}"),
            Self::Seal => write!(f, "a record cannot be sealed"),
            Self::NoKey => write!(f, "no key for a cipher of use here"),
        }
    }
}

impl std::error::Error for TlsError {}
