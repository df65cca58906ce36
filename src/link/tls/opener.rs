use std::task::{Context, Poll, ready};

use rustls::{AlertDescription, Error, InvalidMessage};

use super::record::{HEADER_LEN, Key, Kind, MAX_RECORD};
use super::sealer::Sealer;
use crate::net::Socket;

/// The longest message that comes behind a handshake.
const MAX_MESSAGE: usize = 16 * 1024;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// What comes in on a connection, from the handshake's end on.
pub struct Opener {
    key: Key,
    /// The beginning of a record whose rest has not come yet: shorter than
    /// [`MAX_RECORD`].
    partial: Vec<u8>,
    /// The beginning of a message of TLS itself, at most [`MAX_MESSAGE`].
    message: Vec<u8>,
}

/// What reading found, once the data before it is used.
pub enum End {
    /// More is to come.
    Open,
    /// The other side says goodbye.
    Closed,
    Bad(Error),
}

impl Opener {
    /// `partial` is what came behind the handshake, less than a record.
    pub fn new(key: Key, partial: Vec<u8>) -> Self {
        Self {
            key,
            partial,
            message: Vec::new(),
        }
    }

    /// Reads once into `buffer`, behind the beginning of a record that is here;
    /// how much there is then, or `Ok(0)` at the end of the stream.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let known = self.partial.len();
        let room = buffer.get_mut(known..).unwrap_or_default();
        let length = ready!(socket.poll_read(cx, room))?;
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        self.put_partial(buffer);
        Poll::Ready(Ok(known + length))
    }

    /// Moves the beginning of a record that is here to the front of `buffer`; how
    /// long it is.
    pub fn put_partial(&mut self, buffer: &mut [u8]) -> usize {
        let known = self.partial.len();
        if let Some(start) = buffer.get_mut(..known) {
            start.copy_from_slice(&self.partial);
        }
        self.partial.clear();
        known
    }

    /// Opens the records in `received` and joins what they hold at its front;
    /// returns how much that is, and what came behind it.
    pub fn open(&mut self, received: &mut [u8], sealer: &mut Sealer) -> (usize, End) {
        let (mut data, mut next) = (0, 0);
        let end = loop {
            let rest = received.get(next..).unwrap_or_default();
            let (header, length) = match whole_record(rest) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.partial.reserve_exact(rest.len());
                    self.partial.extend_from_slice(rest);
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
                (Kind::Data, bytes) if self.message.is_empty() => data += bytes.len(),
                (Kind::Data, _) => break End::Bad(out_of_place()),
                (Kind::Alert, alert) => match read_alert(alert) {
                    End::Open => {}
                    end => break end,
                },
                (Kind::Handshake, part) => {
                    if let Err(error) = self.take_messages(part, sealer) {
                        break End::Bad(error);
                    }
                }
            }
        };
        (data, end)
    }

    /// Tickets are for coming back, which links do not do; new keys are taken.
    fn take_messages(&mut self, part: &[u8], sealer: &mut Sealer) -> Result<(), Error> {
        if part.is_empty() {
            return Err(out_of_place());
        }
        self.message.reserve_exact(part.len());
        self.message.extend_from_slice(part);
        while let [kind, a, b, c, rest @ ..] = self.message.as_slice() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > MAX_MESSAGE {
                let error = InvalidMessage::HandshakePayloadTooLarge;
                return Err(Error::InvalidMessage(error));
            }
            let behind = rest.len().saturating_sub(length);
            match (*kind, rest.get(..length), behind) {
                (NEW_SESSION_TICKET, _, _) if !sealer.schedule.may_get_tickets() => {
                    return Err(out_of_place());
                }
                (NEW_SESSION_TICKET, Some(_), _) => {
                    self.message.drain(..4 + length);
                }
                // What follows has the new key already.
                (KEY_UPDATE, Some([wish @ (0 | 1)]), 0) => {
                    if *wish == 1 {
                        sealer.owe_update();
                    }
                    self.key = sealer.schedule.next_from_peer()?;
                    self.message.clear();
                }
                (NEW_SESSION_TICKET | KEY_UPDATE, None, _) => break,
                _ => return Err(out_of_place()),
            }
        }
        if self.message.is_empty() {
            self.message = Vec::new();
        }
        Ok(())
    }
}

/// The header of the next record and the length of its body, if all of that is
/// there.
fn whole_record(received: &[u8]) -> Result<Option<([u8; HEADER_LEN], usize)>, Error> {
    let Some(header) = received.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [kind, major, _, high, low] = *header;
    if (kind, major) != (Kind::Data as u8, 3) {
        return Err(Error::InvalidMessage(InvalidMessage::InvalidContentType));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEADER_LEN + length > MAX_RECORD {
        return Err(Error::PeerSentOversizedRecord);
    }
    let is_whole = received.len() - HEADER_LEN >= length;
    Ok(is_whole.then_some((*header, length)))
}

fn read_alert(alert: &[u8]) -> End {
    match alert {
        [_, code] => match AlertDescription::from(*code) {
            AlertDescription::CloseNotify => End::Closed,
            AlertDescription::UserCanceled => End::Open,
            other => End::Bad(Error::AlertReceived(other)),
        },
        _ => End::Bad(out_of_place()),
    }
}

fn out_of_place() -> Error {
    Error::General("a message of TLS that has no place here".to_owned())
}
