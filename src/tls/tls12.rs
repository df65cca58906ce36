//! The records of TLS 1.2, which rustls keeps to itself: those that have nothing newer are
//! too few for records of ours. They are copied several times on their way.

use rustls::Error;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::error::Behind;
use super::side::{Side, Step};
use crate::wire::tls::{MAX_CONTENT, MAX_RECORD, Partial};

/// A connection by TLS 1.2.
pub(super) struct Tls12 {
    /// `None` once it has refused something: then it must not be asked again.
    connection: Option<Box<Side>>,
    /// rustls may have begun to read this: it has to lie before it whenever it is asked
    /// for anything.
    partial: Partial,
}

impl Tls12 {
    pub(super) fn new(connection: Box<Side>, partial: Vec<u8>) -> Self {
        Self {
            connection: Some(connection),
            partial: partial.into(),
        }
    }

    pub(super) fn partial(&self) -> &Partial {
        &self.partial
    }

    pub(super) fn partial_mut(&mut self) -> &mut Partial {
        &mut self.partial
    }

    /// See `Records::open`.
    pub(super) fn open(&mut self, received: &mut [u8], owed: &mut Vec<u8>) -> (usize, Behind) {
        let Some(connection) = &mut self.connection else {
            return (0, Behind::Closed);
        };
        let (mut data, mut next) = (Vec::new(), 0);
        let behind = loop {
            let rest = received.get_mut(next..).unwrap_or_default();
            let (used, step) = connection.step(rest, owed, &mut data);
            next += used;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Waits | Step::Done) => break Behind::Open,
                Ok(Step::PeerClosed | Step::Closed) => break Behind::Closed,
                Err(error) => {
                    say_why(connection, owed);
                    break Behind::Refused(error);
                }
            }
        };
        let rest = received.get(next..).unwrap_or_default();
        let behind = match behind {
            Behind::Open if rest.len() >= MAX_RECORD => {
                Behind::Refused(Error::PeerSentOversizedRecord)
            }
            behind => behind,
        };
        match behind {
            Behind::Open => self.partial.keep(rest),
            Behind::Refused(_) => self.connection = None,
            Behind::Closed | Behind::Bad(_) => {}
        }
        // What is in a record is shorter than the record.
        match received.get_mut(..data.len()) {
            Some(front) => {
                front.copy_from_slice(&data);
                (data.len(), behind)
            }
            None => (0, behind),
        }
    }

    /// Makes one record. See `Records::seal`.
    pub(super) fn seal(
        &mut self,
        batch: &mut [u8],
        slices: &mut dyn Iterator<Item = &[u8]>,
    ) -> Result<(usize, usize), Error> {
        // What goes into it is joined behind its place.
        let (record, content) = batch.split_at_mut(MAX_RECORD.min(batch.len()));
        let mut length = 0;
        for slice in slices {
            let room = content.get_mut(length..MAX_CONTENT).unwrap_or_default();
            let (now, later) = slice.split_at(room.len().min(slice.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            length += now.len();
            if !later.is_empty() {
                break;
            }
        }
        let content = content.get(..length).unwrap_or_default();
        if content.is_empty() {
            return Ok((0, 0));
        }
        let Some(connection) = &mut self.connection else {
            return Err(Error::HandshakeNotComplete);
        };
        let partial = self.partial.bytes();
        let say = Say::Data(content);
        let sealed = match &mut **connection {
            Side::Client(side) => write(side.process_tls_records(partial), say, record)?,
            Side::Server(side) => write(side.process_tls_records(partial), say, record)?,
        };
        Ok((length, sealed))
    }

    /// The record of a close_notify; nothing more is sealed then.
    pub(super) fn close(&mut self) -> Option<Vec<u8>> {
        let mut connection = self.connection.take()?;
        let partial = self.partial.bytes();
        let mut record = vec![0; MAX_ALERT];
        let sealed = match &mut *connection {
            Side::Client(side) => {
                write(side.process_tls_records(partial), Say::Goodbye, &mut record)
            }
            Side::Server(side) => {
                write(side.process_tls_records(partial), Say::Goodbye, &mut record)
            }
        };
        record.truncate(sealed.ok()?);
        Some(record)
    }
}

/// Room for the record of an alert, in bytes.
const MAX_ALERT: usize = 64;

enum Say<'a> {
    Data(&'a [u8]),
    Goodbye,
}

/// Makes one record; its length.
fn write<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    say: Say<'_>,
    record: &mut [u8],
) -> Result<usize, Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else {
        return Err(Error::HandshakeNotComplete);
    };
    let sealed = match say {
        Say::Data(content) => traffic.encrypt(content, record),
        Say::Goodbye => traffic.queue_close_notify(record),
    };
    sealed.map_err(|error| Error::General(error.to_string()))
}

/// Only what rustls still has to say: it must not look again at what it has refused.
fn say_why(connection: &mut Side, owed: &mut Vec<u8>) {
    while connection.wants_write() {
        if connection.step(&mut [], owed, &mut Vec::new()).1.is_err() {
            break;
        }
    }
}

#[cfg(test)]
pub(in crate::tls) mod tests;
