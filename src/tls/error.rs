use std::io;

use rustls::{AlertDescription, InvalidMessage};

use crate::wire::tls::TlsError;

/// Why a connection ended or did not come about.
#[derive(Debug)]
pub(crate) enum Error {
    Closed,
    Broken(io::Error),
    /// In words.
    Tls(String),
    /// Its certificate is one that a [`Judge`](super::Judge) denies: whose.
    Denied(String),
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

/// What came behind the data.
pub(super) enum Behind {
    /// More is to come.
    Open,
    /// The other side says goodbye.
    Closed,
    /// Nothing more is opened. The other side has to be told.
    Bad(TlsError),
    /// The same, as rustls says it; what to tell the other side is among what it owes.
    Refused(rustls::Error),
}

/// What rustls would say of records.
pub(super) fn as_rustls(error: TlsError) -> rustls::Error {
    use rustls::Error;

    match error {
        TlsError::Open => Error::DecryptError,
        TlsError::ContentType => Error::InvalidMessage(InvalidMessage::InvalidContentType),
        TlsError::RecordTooLong => Error::PeerSentOversizedRecord,
        TlsError::MessageTooLong => Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge),
        TlsError::Alert(number) => Error::AlertReceived(AlertDescription::from(number)),
        TlsError::Seal => Error::EncryptError,
        TlsError::OutOfPlace | TlsError::TooManyMessages | TlsError::NoKey => {
            Error::General(error.to_string())
        }
    }
}
