use std::mem;

use rustls::{Error, InvalidMessage, ProtocolVersion};

use super::schedule::{Agreed, Keys, Schedule};
use super::server::say_as_others;
use super::side::{Side, Step};
use super::told::{self, Secrets};
use super::x509::{self, Fingerprints};
use crate::wire::site_flight;

/// Bytes that are kept of a handshake until a message is whole. Certificates of `certs`
/// take a thirtieth of that.
const MAX_INCOMING: usize = 32 * 1024;

/// Whose certificate the other side has shown.
pub(crate) struct Peer {
    /// Its common name.
    pub(crate) name: Option<String>,
    /// `None` if it cannot be read.
    pub(crate) fingerprints: Option<Fingerprints>,
}

/// A connection that shakes hands. With TLS 1.3 it ends with the keys: rustls has no part
/// in the records that carry data.
pub(crate) struct Shaking {
    /// `None` at the end.
    side: Option<Side>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Data that came along with the end of the handshake.
    early: Vec<u8>,
    /// What its keys are made of, once that is known: a server's with its answer.
    told: Secrets,
    /// A server has said who it is, or that it goes.
    has_answered: bool,
    /// The other side has said goodbye.
    is_at_end: bool,
}

/// How far it is.
pub(crate) enum Progress {
    /// The other side has to say something.
    Waits,
    Done(Box<Done>),
    /// The other side has said goodbye before it was done.
    Closed,
}

/// What a handshake leaves.
pub(crate) struct Done {
    pub(crate) agreed: Agreed,
    /// To be sent before anything else.
    pub(crate) outgoing: Vec<u8>,
    /// Data, to be used before anything else.
    pub(crate) early: Vec<u8>,
    /// The beginning of a record.
    pub(crate) partial: Vec<u8>,
    pub(crate) peer: Option<Peer>,
    /// The other side has said goodbye, behind that data.
    pub(crate) is_at_end: bool,
}

impl Shaking {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side: Some(side),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            early: Vec::new(),
            told: Secrets::default(),
            has_answered: false,
            is_at_end: false,
        }
    }

    /// What waits for the kernel.
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// A server has said who it is, which is the last that takes long; the other side's
    /// hello may have to come twice before.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Goes on with what came. After an error there may be an alert to send.
    pub(crate) fn advance(&mut self, received: &[u8]) -> Result<Progress, Error> {
        self.incoming.extend_from_slice(received);
        loop {
            match self.step() {
                Ok(Step::More) => {}
                Ok(Step::Waits) if self.incoming.len() > MAX_INCOMING => {
                    let error = InvalidMessage::HandshakePayloadTooLarge;
                    return Err(Error::InvalidMessage(error));
                }
                Ok(Step::Waits) if self.is_at_end => return Ok(Progress::Closed),
                Ok(Step::Waits) => return Ok(Progress::Waits),
                // It may have said all that it had to say before, data too.
                Ok(Step::PeerClosed) => self.is_at_end = true,
                Ok(Step::Closed) => return Ok(Progress::Closed),
                Ok(Step::Done) => return self.finish(),
                Err(error) => {
                    // Only what rustls still has to say: it must not look again at what it
                    // has refused.
                    while self.has_more_to_say() && self.step().is_ok() {}
                    say_as_others(&mut self.outgoing);
                    return Err(error);
                }
            }
        }
    }

    fn has_more_to_say(&self) -> bool {
        self.side.as_ref().is_some_and(Side::wants_write)
    }

    fn step(&mut self) -> Result<Step, Error> {
        let Self {
            side,
            incoming,
            outgoing,
            early,
            ..
        } = self;
        let (used, step) = match side {
            Some(side) => side.step(incoming, outgoing, early),
            None => (0, Err(Error::HandshakeNotComplete)),
        };
        incoming.drain(..used.min(incoming.len()));
        // Another handshake of this thread may be the next to go on.
        if let Some(told) = told::take() {
            self.told = told;
        }
        self.has_answered |= !self.outgoing.is_empty() && !site_flight::is_retry(&self.outgoing);
        step
    }

    fn finish(&mut self) -> Result<Progress, Error> {
        let chain = match &self.side {
            Some(Side::Client(side)) => side.peer_certificates(),
            Some(Side::Server(side)) => side.peer_certificates(),
            None => None,
        };
        let certificate = chain.and_then(|chain| chain.first());
        let peer = certificate.map(|one| Peer {
            name: x509::read(one).ok().and_then(|described| described.name),
            fingerprints: Fingerprints::of(one),
        });
        let agreed = match self.side.take() {
            Some(side) if side.version() == Some(ProtocolVersion::TLSv1_2) => {
                Agreed::Connection(Box::new(side))
            }
            Some(Side::Client(side)) => {
                let (secrets, rest) = side.dangerous_into_kernel_connection()?;
                Agreed::Keys(Box::new(Keys::new(
                    secrets,
                    Schedule::Client(rest),
                    &self.told,
                )?))
            }
            Some(Side::Server(side)) => {
                let (secrets, rest) = side.dangerous_into_kernel_connection()?;
                Agreed::Keys(Box::new(Keys::new(
                    secrets,
                    Schedule::Server(rest),
                    &self.told,
                )?))
            }
            None => return Err(Error::HandshakeNotComplete),
        };
        Ok(Progress::Done(Box::new(Done {
            agreed,
            outgoing: mem::take(&mut self.outgoing),
            early: mem::take(&mut self.early),
            partial: mem::take(&mut self.incoming),
            peer,
            is_at_end: self.is_at_end,
        })))
    }
}
