//! The records behind a handshake.

use rustls::Error;

use super::error::{Behind, as_rustls};
use super::schedule::{Agreed, Keys, Schedule};
use super::tls12::Tls12;
use crate::wire::tls::{End, HEADER_LEN, Kind, Opener, Partial, RECORDS_PER_KEY, Sealer, TAIL_LEN};

/// The length of the record of an alert.
const ALERT_LEN: usize = HEADER_LEN + 2 + TAIL_LEN;

/// The level of an alert that is an error.
const FATAL: u8 = 2;

/// A warning, number 0.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// A connection whose handshake is done, without its socket.
pub(super) enum Records {
    /// Of TLS 1.3: ours.
    Tls13(Box<Tls13>),
    /// Of TLS 1.2: rustls'.
    Tls12(Tls12),
}

pub(super) struct Tls13 {
    opener: Opener,
    sealer: Sealer,
    schedule: Schedule,
}

impl Records {
    /// `partial` came behind the handshake.
    pub(super) fn new(agreed: Agreed, partial: Vec<u8>) -> Self {
        match agreed {
            Agreed::Keys(keys) => {
                let Keys {
                    schedule,
                    to_peer,
                    from_peer,
                } = *keys;
                Self::Tls13(Box::new(Tls13 {
                    opener: Opener::new(from_peer, partial),
                    sealer: Sealer::new(to_peer, RECORDS_PER_KEY),
                    schedule,
                }))
            }
            Agreed::Connection(connection) => Self::Tls12(Tls12::new(connection, partial)),
        }
    }

    pub(super) fn partial(&self) -> &Partial {
        match self {
            Self::Tls13(ours) => ours.opener.partial(),
            Self::Tls12(theirs) => theirs.partial(),
        }
    }

    pub(super) fn partial_mut(&mut self) -> &mut Partial {
        match self {
            Self::Tls13(ours) => ours.opener.partial_mut(),
            Self::Tls12(theirs) => theirs.partial_mut(),
        }
    }

    /// See [`Schedule::forget_tickets`].
    pub(super) fn forget_tickets(&mut self) {
        if let Self::Tls13(ours) = self {
            ours.schedule.forget_tickets();
        }
    }

    pub(super) fn version(&self) -> &'static str {
        match self {
            Self::Tls13(_) => "TLS 1.3",
            Self::Tls12(_) => "TLS 1.2",
        }
    }

    /// Opens the records in `received` and joins what they hold at its front: how much
    /// that is. They begin with what was put there of [`partial`](Self::partial). What has
    /// to be sent then is added to `owed`.
    pub(super) fn open(&mut self, received: &mut [u8], owed: &mut Vec<u8>) -> (usize, Behind) {
        match self {
            Self::Tls13(ours) => {
                let opened = ours.opener.open(received, &mut ours.schedule);
                if opened.wants_update {
                    ours.sealer.owe_update();
                }
                let behind = match opened.end {
                    End::Open => Behind::Open,
                    End::Closed => Behind::Closed,
                    End::Bad(error) => Behind::Bad(error),
                };
                (opened.data, behind)
            }
            Self::Tls12(theirs) => theirs.open(received, owed),
        }
    }

    /// Makes records of `slices` in `batch`; how many bytes of those are in, and how many
    /// bytes the records have.
    pub(super) fn seal<'a>(
        &mut self,
        batch: &mut [u8],
        mut slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(usize, usize), Error> {
        match self {
            Self::Tls13(ours) => {
                let sealed = ours.sealer.seal(batch, slices, &mut ours.schedule);
                sealed.map_err(as_rustls)
            }
            Self::Tls12(theirs) => theirs.seal(batch, &mut slices),
        }
    }

    /// The last words; none if rustls is the one to say them.
    pub(super) fn alert(&mut self, number: u8) -> Option<[u8; ALERT_LEN]> {
        match self {
            Self::Tls13(ours) => ours.alert([FATAL, number]),
            Self::Tls12(_) => None,
        }
    }

    /// The record by which this side says that it sends no more.
    pub(super) fn close(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Tls13(ours) => Some(ours.alert(CLOSE_NOTIFY)?.to_vec()),
            Self::Tls12(theirs) => theirs.close(),
        }
    }
}

impl Tls13 {
    /// The record of an alert, of its level and its number.
    fn alert(&mut self, [level, number]: [u8; 2]) -> Option<[u8; ALERT_LEN]> {
        let mut record = [0; ALERT_LEN];
        let [_, _, _, _, _, first, second, ..] = &mut record;
        (*first, *second) = (level, number);
        let sealed = self.sealer.seal_one(&mut record, Kind::Alert);
        sealed.is_ok().then_some(record)
    }
}
