use std::mem;

use super::partial::Partial;
use super::record::{HEADER_LEN, Key, Kind, MAX_RECORD};
use super::{KeySchedule, TlsError};

/// The longest message that comes behind a handshake.
const MAX_MESSAGE: usize = 16 * 1024;

/// Bytes of data that come for each message of TLS itself: as long as they take to be opened,
/// it does.
const DATA_PER_MESSAGE: usize = 4 * 1024;

/// So many messages may come before any data.
const MESSAGES_AHEAD: usize = 32;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// What comes in on a connection, from the handshake's end on.
pub struct Opener {
    key: Key,
    partial: Partial,
    /// The beginning of a message of TLS itself, at most [`MAX_MESSAGE`].
    message: Vec<u8>,
    /// Bytes of data that messages may still be taken for.
    unspent: usize,
}

/// What was in the records that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of data, to be used before the rest of this is.
    pub data: usize,
    /// The other side wants new keys of us too: [`Sealer::owe_update`].
    ///
    /// [`Sealer::owe_update`]: super::Sealer::owe_update
    pub wants_update: bool,
    pub end: End,
}

/// What came behind the data.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// More is to come.
    Open,
    /// The other side says goodbye.
    Closed,
    /// Nothing more is opened.
    Bad(TlsError),
}

impl Opener {
    /// `partial` is what came behind the handshake, less than a record.
    pub fn new(key: Key, partial: Vec<u8>) -> Self {
        Self {
            key,
            partial: partial.into(),
            message: Vec::new(),
            unspent: MESSAGES_AHEAD * DATA_PER_MESSAGE,
        }
    }

    /// What came behind the last whole record.
    pub fn partial(&self) -> &Partial {
        &self.partial
    }

    pub fn partial_mut(&mut self) -> &mut Partial {
        &mut self.partial
    }

    /// Opens the records in `received` and joins what they hold at its front. They
    /// begin with what [`Partial::put`] has put there.
    pub fn open(&mut self, received: &mut [u8], schedule: &mut dyn KeySchedule) -> Opened {
        let (mut data, mut next, mut wants_update) = (0, 0, false);
        let end = loop {
            let rest = received.get(next..).unwrap_or_default();
            let (header, length) = match whole_record(rest) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.partial.keep(rest);
                    break End::Open;
                }
                Err(error) => break End::Bad(error),
            };
            let body = next + HEADER_LEN - data;
            next += HEADER_LEN + length;
            let space = received.get_mut(data..next).unwrap_or_default();
            let content = match self.key.open(header, space, body) {
                Ok((kind, length)) => (kind, space.get(..length).unwrap_or_default()),
                Err(error) => break End::Bad(error),
            };
            match content {
                (Kind::Data, bytes) if self.message.is_empty() => {
                    data += bytes.len();
                    let most = MESSAGES_AHEAD * DATA_PER_MESSAGE;
                    self.unspent = most.min(self.unspent + bytes.len());
                }
                (Kind::Data, _) => break End::Bad(TlsError::OutOfPlace),
                (Kind::Alert, alert) => match read_alert(alert) {
                    End::Open => {}
                    end => break end,
                },
                (Kind::Handshake, part) => match self.take_messages(part, schedule) {
                    Ok(wish) => wants_update |= wish,
                    Err(error) => break End::Bad(error),
                },
            }
        };
        Opened {
            data,
            wants_update,
            end,
        }
    }

    /// Tickets go to `schedule`; new keys are taken. Whether the other side wants such of
    /// us.
    fn take_messages(
        &mut self,
        part: &[u8],
        schedule: &mut dyn KeySchedule,
    ) -> Result<bool, TlsError> {
        let mut wants_update = false;
        if part.is_empty() {
            return Err(TlsError::OutOfPlace);
        }
        let mut message = mem::take(&mut self.message);
        message.reserve_exact(part.len());
        message.extend_from_slice(part);
        let (mut rest, mut missing) = (message.as_slice(), 0);
        while let [kind, a, b, c, behind @ ..] = rest {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > MAX_MESSAGE {
                return Err(TlsError::MessageTooLong);
            }
            match (*kind, behind.split_at_checked(length)) {
                (NEW_SESSION_TICKET, _) if !schedule.may_get_tickets() => {
                    return Err(TlsError::OutOfPlace);
                }
                (NEW_SESSION_TICKET, Some((ticket, next))) => {
                    self.spend()?;
                    schedule.take_ticket(ticket);
                    rest = next;
                }
                // What follows has the new key already.
                (KEY_UPDATE, Some(([wish @ (0 | 1)], next @ []))) => {
                    self.spend()?;
                    wants_update |= *wish == 1;
                    self.key = schedule.next_from_peer()?;
                    rest = next;
                }
                (NEW_SESSION_TICKET | KEY_UPDATE, None) => {
                    missing = length - behind.len();
                    break;
                }
                _ => return Err(TlsError::OutOfPlace),
            }
        }
        if !rest.is_empty() {
            let used = message.len() - rest.len();
            message.drain(..used);
            // At once, and not with each of its pieces.
            message.reserve_exact(missing);
            self.message = message;
        }
        Ok(wants_update)
    }

    fn spend(&mut self) -> Result<(), TlsError> {
        let left = self.unspent.checked_sub(DATA_PER_MESSAGE);
        self.unspent = left.ok_or(TlsError::TooManyMessages)?;
        Ok(())
    }
}

/// The header of the next record and the length of its body, if all of that is
/// there.
fn whole_record(received: &[u8]) -> Result<Option<([u8; HEADER_LEN], usize)>, TlsError> {
    let Some(header) = received.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [kind, major, _, high, low] = *header;
    if (kind, major) != (Kind::Data as u8, 3) {
        return Err(TlsError::ContentType);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEADER_LEN + length > MAX_RECORD {
        return Err(TlsError::RecordTooLong);
    }
    let is_whole = received.len() - HEADER_LEN >= length;
    Ok(is_whole.then_some((*header, length)))
}

fn read_alert(alert: &[u8]) -> End {
    match alert {
        [_, CLOSE_NOTIFY] => End::Closed,
        [_, USER_CANCELED] => End::Open,
        [_, other] => End::Bad(TlsError::Alert(*other)),
        _ => End::Bad(TlsError::OutOfPlace),
    }
}
