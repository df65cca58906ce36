//! What a site does when its visitor does not go on, and when.

use std::time::Duration;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum How {
    Fin,
    Reset,
    /// Not while anybody looked.
    Stays,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) struct Ending {
    /// Since it began, or since the last byte if it is that which ends it.
    pub after: Duration,
    /// Said just before: an encrypted record with so many bytes of payload.
    pub record: Option<u16>,
    pub how: How,
}

/// A site's endings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Manners {
    /// Its flight is out, and nothing more comes.
    pub unfinished: Ending,
    /// What comes instead cannot be decrypted.
    pub garbled: Ending,
}

impl Ending {
    /// At once, without a word.
    pub const FIN: Self = Self {
        after: Duration::ZERO,
        record: None,
        how: How::Fin,
    };
}

impl Manners {
    /// Those of a site that nobody has measured. An encrypted alert has 19 bytes: two,
    /// their type, and the seal.
    pub const NGINX: Self = Self {
        unfinished: Ending {
            after: Duration::from_secs(60),
            ..Ending::FIN
        },
        garbled: Ending {
            record: Some(19),
            ..Ending::FIN
        },
    };
}
