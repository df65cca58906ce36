use std::cell::RefCell;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, ClientConfig, ServerConfig};

use super::error::{Behind, Error, as_rustls};
use super::records::Records;
use super::shaking::{Done, Peer, Progress, Shaking};
use super::side::Side;
use super::writer::{Batch, Writer};
use super::x509::Fingerprints;
use crate::net::{BufferPool, FairTurnstile, Rope, Socket};
use crate::wire::tls::{MAX_RECORD, Partial};

/// What the user of a connection knows of the other side and rustls does not.
pub(crate) trait Judge {
    /// Whether the certificate that the other side has shown is revoked: if so, what the
    /// user calls that side.
    fn denies(&self, peer: &Peer) -> Option<String>;
    /// What an error means and what to do about it.
    fn explain(&self, error: &rustls::Error) -> String;
}

/// What connections are made with.
#[derive(Clone)]
pub(crate) struct TlsContext {
    pub(crate) batch: Batch,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) judge: Rc<dyn Judge>,
}

/// One TLS connection over a socket that is its user's.
pub(crate) struct TlsStream {
    state: State,
    context: TlsContext,
    /// Whose certificate the other side has shown.
    peer: Option<Peer>,
    /// Data that came along with the handshake's end and nobody has taken.
    early: Vec<u8>,
    /// Nothing follows that data.
    is_at_end: bool,
}

enum State {
    Shaking(Box<Shaking>),
    Open(Rc<RefCell<Records>>, Rc<RefCell<Writer>>),
    /// It has failed.
    Over,
}

impl TlsStream {
    /// Begins the handshake: a hello waits to be flushed. `config` has to let secrets be
    /// extracted.
    pub(crate) fn connect(
        context: TlsContext,
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let side = UnbufferedClientConnection::new(config.clone(), name)?;
        Self::new(context, Side::Client(side))
    }

    /// Waits for the other side to begin the handshake. `config` has to let secrets be
    /// extracted.
    pub(crate) fn accept(context: TlsContext, config: &Arc<ServerConfig>) -> Result<Self, Error> {
        let side = UnbufferedServerConnection::new(config.clone())?;
        Self::new(context, Side::Server(side))
    }

    /// Goes on with the handshake by what somebody else has read of the socket.
    pub(super) fn hear(&mut self, socket: &Socket, received: &[u8]) -> Result<(), Error> {
        self.early = self.shake(socket, received)?;
        Ok(())
    }

    /// The same on another thread, when it is the turn of `whose`.
    pub(super) async fn hear_away(
        &mut self,
        socket: &Socket,
        received: Vec<u8>,
        (turnstile, whose): (&FairTurnstile, u64),
    ) -> Result<(), Error> {
        let State::Shaking(mut shaking) = mem::replace(&mut self.state, State::Over) else {
            return Err(Error::Closed);
        };
        let work = move || {
            let progress = shaking.advance(&received);
            (shaking, progress)
        };
        let (shaking, progress) = turnstile.run(whose, work).await;
        self.early = self.shaken(socket, shaking, progress)?;
        Ok(())
    }

    /// As a server it has given its answer, if it is not over.
    pub(super) fn has_answered(&self) -> bool {
        match &self.state {
            State::Shaking(shaking) => shaking.has_answered(),
            State::Open(..) | State::Over => true,
        }
    }

    /// Reads once, with the handshake; data that comes along with its end is left for the
    /// next read.
    pub(super) fn poll_shake(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
    ) -> Poll<Result<(), Error>> {
        let mut early = Vec::new();
        let read = self.poll_read(cx, socket, buffer, &mut |data| {
            early.extend_from_slice(data);
            Ok::<(), Error>(())
        });
        self.early = early;
        read
    }

    fn new(context: TlsContext, side: Side) -> Result<Self, Error> {
        let mut shaking = Box::new(Shaking::new(side));
        shaking.advance(&[])?;
        Ok(Self {
            state: State::Shaking(shaking),
            context,
            peer: None,
            early: Vec::new(),
            is_at_end: false,
        })
    }

    /// What writes once the handshake is done.
    pub(crate) fn writer(&self) -> Option<Rc<RefCell<Writer>>> {
        match &self.state {
            State::Open(_, writer) => Some(writer.clone()),
            _ => None,
        }
    }

    /// The name in the other side's certificate.
    pub(crate) fn peer_name(&self) -> Option<String> {
        self.peer.as_ref()?.name.clone()
    }

    /// Of that certificate.
    pub(crate) fn peer_fingerprints(&self) -> Option<Fingerprints> {
        self.peer.as_ref()?.fingerprints
    }

    /// Reads once and hands what came to `take`, whose error is its user's.
    pub(crate) fn poll_read<E: From<Error>>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Poll<Result<(), E>> {
        if !self.early.is_empty() {
            return Poll::Ready(take(&mut mem::take(&mut self.early)));
        }
        if self.is_at_end {
            return Poll::Ready(Err(Error::Closed.into()));
        }
        let read = match &mut self.state {
            State::Shaking(_) => socket.poll_read(cx, buffer),
            State::Open(records, _) => {
                poll_fill(records.borrow_mut().partial_mut(), cx, socket, buffer)
            }
            State::Over => Poll::Ready(Ok(0)),
        };
        let length = match ready!(read) {
            // That close_notify is missing does not matter: our protocol has ends of its own.
            Ok(0) => return Poll::Ready(Err(Error::Closed.into())),
            Ok(length) => length,
            Err(error) => return Poll::Ready(Err(Error::Broken(error).into())),
        };
        let received = buffer.get_mut(..length).unwrap_or_default();
        let (data, behind) = match &mut self.state {
            State::Shaking(_) => match self.shake(socket, received)? {
                early if early.is_empty() => return Poll::Ready(Ok(())),
                mut early => return Poll::Ready(take(&mut early)),
            },
            State::Open(records, writer) => {
                let mut owed = Vec::new();
                let opened = records.borrow_mut().open(received, &mut owed);
                if !owed.is_empty() {
                    writer.borrow_mut().keep(&owed);
                }
                opened
            }
            State::Over => return Poll::Ready(Err(Error::Closed.into())),
        };
        // Nothing is borrowed any more, as whoever takes the data may write.
        match received.get_mut(..data) {
            None | Some([]) => {}
            Some(data) => take(data)?,
        }
        Poll::Ready(self.go_on(socket, behind).map_err(E::from))
    }

    /// Tells the other side what is wrong with its records, if anything is.
    fn go_on(&self, socket: &Socket, behind: Behind) -> Result<(), Error> {
        let State::Open(_, writer) = &self.state else {
            return Err(Error::Closed);
        };
        let error = match behind {
            Behind::Open => return Ok(()),
            Behind::Closed => return Err(Error::Closed),
            Behind::Bad(error) => {
                writer.borrow_mut().alert(socket, error.alert());
                as_rustls(error)
            }
            Behind::Refused(error) => {
                let _ = writer.borrow_mut().flush(socket);
                error
            }
        };
        Err(Error::Tls(self.context.judge.explain(&error)))
    }

    /// Goes on with the handshake; the data that came along with its end.
    fn shake(&mut self, socket: &Socket, received: &[u8]) -> Result<Vec<u8>, Error> {
        let State::Shaking(mut shaking) = mem::replace(&mut self.state, State::Over) else {
            return Err(Error::Closed);
        };
        let progress = shaking.advance(received);
        self.shaken(socket, shaking, progress)
    }

    /// What came of a step of the handshake.
    fn shaken(
        &mut self,
        socket: &Socket,
        mut shaking: Box<Shaking>,
        progress: Result<Progress, rustls::Error>,
    ) -> Result<Vec<u8>, Error> {
        match progress {
            Ok(Progress::Waits) => {
                self.state = State::Shaking(shaking);
                Ok(Vec::new())
            }
            Ok(Progress::Done(done)) => self.begin(socket, *done),
            Ok(Progress::Closed) => Err(Error::Closed),
            Err(error) => {
                // The alert tells the other side the reason.
                let _ = socket.try_write(shaking.outgoing());
                Err(Error::Tls(self.context.judge.explain(&error)))
            }
        }
    }

    fn begin(&mut self, socket: &Socket, done: Done) -> Result<Vec<u8>, Error> {
        let Done {
            agreed,
            outgoing,
            early,
            partial,
            peer,
            is_at_end,
        } = done;
        let TlsContext {
            batch,
            buffers,
            judge,
        } = &self.context;
        let records = Rc::new(RefCell::new(Records::new(agreed, partial)));
        let mut writer = Writer::new(records.clone(), batch.clone(), buffers, &outgoing);
        if let Some(name) = peer.as_ref().and_then(|peer| judge.denies(peer)) {
            let _ = writer.flush(socket);
            writer.alert(socket, AlertDescription::CertificateRevoked.into());
            return Err(Error::Denied(name));
        }
        (self.peer, self.is_at_end) = (peer, is_at_end);
        self.state = State::Open(records, Rc::new(RefCell::new(writer)));
        Ok(early)
    }

    /// Writes until `out` is empty or the kernel takes no more; returns how
    /// many bytes of `out` are gone.
    pub(crate) fn flush(&mut self, socket: &Socket, out: &mut Rope) -> Result<usize, Error> {
        match &mut self.state {
            State::Shaking(shaking) => {
                let outgoing = shaking.outgoing();
                if outgoing.is_empty() {
                    return Ok(0);
                }
                let written = socket.try_write(outgoing).map_err(Error::Broken)?;
                outgoing.drain(..written);
                Ok(0)
            }
            State::Open(_, writer) => {
                let mut writer = writer.borrow_mut();
                let mut taken = 0;
                loop {
                    let length = writer.write(socket, out.slices())?;
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

    pub(crate) fn is_flushed(&self) -> bool {
        match &self.state {
            State::Shaking(shaking) => shaking.is_flushed(),
            State::Open(_, writer) => writer.borrow().is_flushed(),
            State::Over => true,
        }
    }

    /// A buffer of so many bytes is enough for the next read to get on, and not to read
    /// more than one record.
    pub(crate) fn needed(&self) -> usize {
        match &self.state {
            State::Open(records, _) => records.borrow().partial().needed(),
            State::Shaking(_) | State::Over => MAX_RECORD,
        }
    }

    /// Drops what the next byte can make again.
    pub(crate) fn hibernate(&mut self) {
        if let State::Open(records, _) = &self.state {
            records.borrow_mut().partial_mut().hibernate();
        }
    }

    /// Drops what tickets that come from here on would be kept with, where that is known
    /// to be of no other use: most of what a client's connection takes.
    pub(crate) fn forget_tickets(&mut self) {
        if let State::Open(records, _) = &self.state {
            records.borrow_mut().forget_tickets();
        }
    }

    /// In words; of a handshake that is not done, nothing.
    pub(crate) fn version(&self) -> &'static str {
        match &self.state {
            State::Open(records, _) => records.borrow().version(),
            State::Shaking(_) | State::Over => "",
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Shaking(_))
    }
}

/// Reads once into `buffer`, behind the beginning of a record that is here; how
/// much there is then, or `Ok(0)` at the end of the stream.
fn poll_fill(
    partial: &mut Partial,
    cx: &mut Context<'_>,
    socket: &Socket,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let known = partial.len();
    let room = buffer.get_mut(known..).unwrap_or_default();
    let length = ready!(socket.poll_read(cx, room))?;
    if length == 0 {
        return Poll::Ready(Ok(0));
    }
    partial.put(buffer);
    Poll::Ready(Ok(known + length))
}
