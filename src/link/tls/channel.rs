use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{AlertDescription, Error};

use super::opener::{End, Opener};
use super::papers::Papers;
use super::refused::Refused;
use super::sealer::{Batch, Sealer};
use super::shaking::{Done, Progress, Shaking, Side};
use super::{Peer, TlsSetup};
use crate::link::fault::Fault;
use crate::link::x509::Fingerprints;
use crate::net::{BufferPool, Rope, Socket};

/// One TLS connection.
pub struct TlsChannel {
    state: State,
    batch: Batch,
    buffers: Rc<BufferPool>,
    papers: Arc<Papers>,
    refused: Arc<Refused>,
    /// Whose certificate the other side has shown.
    peer: Option<Peer>,
}

enum State {
    Shaking(Box<Shaking>),
    Open(Box<Opener>, Rc<RefCell<Sealer>>),
    /// It has failed.
    Over,
}

type Take<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), Fault>;

impl TlsChannel {
    /// Begins the handshake: a front has something to say then.
    pub fn new(side: Side, setup: &TlsSetup, buffers: &Rc<BufferPool>) -> Result<Self, Fault> {
        let mut shaking = Box::new(Shaking::new(side));
        shaking.advance(&[]).map_err(Fault::tls)?;
        Ok(Self {
            state: State::Shaking(shaking),
            batch: setup.batch.clone(),
            buffers: buffers.clone(),
            papers: setup.papers.clone(),
            refused: setup.refused.clone(),
            peer: None,
        })
    }

    /// What writes once the handshake is done.
    pub fn sealer(&self) -> Option<Rc<RefCell<Sealer>>> {
        match &self.state {
            State::Open(_, sealer) => Some(sealer.clone()),
            _ => None,
        }
    }

    /// The name in the other side's certificate.
    pub fn peer_name(&self) -> Option<String> {
        self.peer.as_ref()?.name.clone()
    }

    /// Of that certificate.
    pub fn peer_fingerprints(&self) -> Option<Fingerprints> {
        self.peer.as_ref()?.fingerprints
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
        take: Take<'_>,
    ) -> Poll<Result<(), Fault>> {
        let read = match &mut self.state {
            State::Shaking(_) => socket.poll_read(cx, buffer),
            State::Open(opener, _) => opener.poll_fill(cx, socket, buffer),
            State::Over => Poll::Ready(Ok(0)),
        };
        let length = match ready!(read) {
            // Without close_notify: our protocol has ends of its own.
            Ok(0) => return Poll::Ready(Err(Fault::Closed)),
            Ok(length) => length,
            Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
        };
        let received = buffer.get_mut(..length).unwrap_or_default();
        Poll::Ready(match &mut self.state {
            State::Shaking(_) => self.shake(socket, received, take),
            State::Open(opener, sealer) => {
                let (data, end) = opener.open(received, &mut sealer.borrow_mut());
                use_opened(socket, sealer, received.get_mut(..data), end, take)
                    .unwrap_or_else(|error| Err(Fault::Tls(self.papers.explain(&error))))
            }
            State::Over => Err(Fault::Closed),
        })
    }

    fn shake(&mut self, socket: &Socket, received: &[u8], take: Take<'_>) -> Result<(), Fault> {
        let State::Shaking(mut shaking) = mem::replace(&mut self.state, State::Over) else {
            return Err(Fault::Closed);
        };
        match shaking.advance(received) {
            Ok(Progress::Waits) => {
                self.state = State::Shaking(shaking);
                Ok(())
            }
            Ok(Progress::Done(done)) => self.begin(socket, *done, take),
            Ok(Progress::Closed) => Err(Fault::Closed),
            Err(error) => {
                // The alert tells the other side the reason.
                let _ = socket.try_write(shaking.outgoing());
                Err(Fault::Tls(self.papers.explain(&error)))
            }
        }
    }

    fn begin(&mut self, socket: &Socket, done: Done, take: Take<'_>) -> Result<(), Fault> {
        let Done {
            agreed,
            outgoing,
            mut early,
            partial,
            peer,
        } = done;
        let batch = self.batch.clone();
        let (key, schedule) = (agreed.to_peer, agreed.schedule);
        let mut sealer = Sealer::new(key, schedule, batch, &self.buffers, &outgoing);
        if let Some(peer) = peer.as_ref().filter(|peer| self.refused.has(peer)) {
            let _ = sealer.flush(socket);
            sealer.alert(socket, AlertDescription::CertificateRevoked);
            return Err(Fault::Revoked(peer.shown_name()));
        }
        self.peer = peer;
        let opener = Box::new(Opener::new(agreed.from_peer, partial));
        self.state = State::Open(opener, Rc::new(RefCell::new(sealer)));
        match early.is_empty() {
            true => Ok(()),
            false => take(&mut early),
        }
    }

    /// Writes until `out` is empty or the kernel takes no more; returns how
    /// many bytes of `out` are gone.
    pub fn flush(&mut self, socket: &Socket, out: &mut Rope) -> Result<usize, Fault> {
        match &mut self.state {
            State::Shaking(shaking) => {
                let outgoing = shaking.outgoing();
                if outgoing.is_empty() {
                    return Ok(0);
                }
                let written = socket.try_write(outgoing).map_err(Fault::Broken)?;
                outgoing.drain(..written);
                Ok(0)
            }
            State::Open(_, sealer) => {
                let mut sealer = sealer.borrow_mut();
                let mut taken = 0;
                loop {
                    let length = sealer.write(socket, out.slices())?;
                    out.advance(length);
                    taken += length;
                    if length == 0 || out.is_empty() {
                        return Ok(taken);
                    }
                }
            }
            State::Over => Ok(0),
        }
    }

    pub fn is_flushed(&self) -> bool {
        match &self.state {
            State::Shaking(shaking) => shaking.is_flushed(),
            State::Open(_, sealer) => sealer.borrow().is_flushed(),
            State::Over => true,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Shaking(_))
    }
}

fn use_opened(
    socket: &Socket,
    sealer: &RefCell<Sealer>,
    data: Option<&mut [u8]>,
    end: End,
    take: Take<'_>,
) -> Result<Result<(), Fault>, Error> {
    let data = data.unwrap_or_default();
    if !data.is_empty()
        && let Err(fault) = take(data)
    {
        return Ok(Err(fault));
    }
    match end {
        End::Open => Ok(Ok(())),
        End::Closed => Ok(Err(Fault::Closed)),
        End::Bad(error) => {
            sealer.borrow_mut().alert(socket, alert_for(&error));
            Err(error)
        }
    }
}

fn alert_for(error: &Error) -> AlertDescription {
    match error {
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        _ => AlertDescription::UnexpectedMessage,
    }
}

impl Fault {
    pub fn tls(error: Error) -> Self {
        Self::Tls(error.to_string())
    }
}
