//! A web session over a WebSocket: one task reads it, and sends what no stream's client
//! sends by itself.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::super::session::Session;
use super::{Out, Outlet};
use crate::http::Connection;
use crate::metrics::WebEnd;
use crate::net::{READS_PER_TURN, Timer};
use crate::wire::web::{FrameReader, MAX_BATCH};
use crate::wire::websocket::{
    ClientFrameReader, ClientPiece, server_close, server_ping, server_pong,
};

/// Without a byte to the app, or from it, for so long it is asked for a sign of life.
const PING: Duration = Duration::from_secs(25);

/// Without a message or a sign of life for so long it is gone.
const SILENCE: Duration = Duration::from_secs(50);

/// For the last word to leave.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Answers to pings are left out while so much waits.
const MAX_REST: usize = 16 * 1024;

const GONE: u16 = 1001;
const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;

/// Carries `session` on a WebSocket that has just been opened, until one of both ends.
/// `received` came behind the request.
pub(in crate::web) async fn run(
    session: Rc<Session>,
    connection: Rc<Connection>,
    mut received: Vec<u8>,
) {
    let mut socket = WebSocket::new(&session, &connection);
    let end = match socket.feed(&mut received) {
        Ok(()) => {
            drop(received);
            poll_fn(|cx| socket.poll(cx)).await
        }
        Err(end) => end,
    };
    let code = socket.last_code(end);
    session.leave_socket(socket.way, end);
    drop(socket);
    say_last(&session, &connection, code).await;
}

/// Why there is nothing to do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Ended {
    /// The session is over.
    Session,
    /// It goes on another way.
    Left,
    /// The connection broke, or the app closed it.
    Lost(WebEnd),
    /// The app broke the rules of WebSockets; the code to tell it.
    Frame(u16),
    /// Or those of web sessions.
    Rules(WebEnd),
}

struct WebSocket {
    session: Rc<Session>,
    connection: Rc<Connection>,
    /// Which of the session's ways out this is.
    way: u32,
    frames: ClientFrameReader,
    reader: FrameReader,
    timer: Timer,
    has_pinged: bool,
}

impl WebSocket {
    fn new(session: &Rc<Session>, connection: &Rc<Connection>) -> Self {
        let outlet = Outlet::new(connection.clone());
        Self {
            way: session.set_out(Out::Socket(outlet)),
            session: session.clone(),
            connection: connection.clone(),
            frames: ClientFrameReader::new(MAX_BATCH as u32),
            reader: FrameReader::default(),
            timer: session.context.reactor.timer(),
            has_pinged: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.session.ended().is_some() {
            return Poll::Ready(Ended::Session);
        }
        // The place to be woken at is another way's then.
        if self.session.way() != self.way {
            return Poll::Ready(Ended::Left);
        }
        // Only now: the place is that of the way that is used.
        self.session.park_carrier(cx.waker());
        for step in [Self::read, Self::write, Self::look] {
            if let Err(end) = step(self, cx) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    }

    /// Reads while there is room for what comes.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let context = self.session.context.clone();
        for _ in 0..READS_PER_TURN {
            let Poll::Ready(room) = self.session.poll_room(cx) else {
                return Ok(());
            };
            let connection = self.connection.clone();
            let mut fed = Ok(());
            let read = context.scratch.with(|space| {
                let length = room.max(connection.needed()).min(space.len());
                let space = space.get_mut(..length).unwrap_or_default();
                connection.poll_read(cx, space, &mut |bytes| {
                    if fed.is_ok() {
                        fed = self.feed(bytes);
                    }
                })
            });
            fed?;
            match read {
                Some(Poll::Ready(Ok(length))) if length > 0 => {}
                Some(Poll::Ready(_)) => return Err(Ended::Lost(WebEnd::Lost)),
                _ => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Takes what the app has sent.
    fn feed(&mut self, bytes: &mut [u8]) -> Result<(), Ended> {
        let (mut input, mut last_ping) = (bytes, None);
        loop {
            let piece = self.frames.next(&mut input);
            match piece.map_err(|fault| Ended::Frame(fault.close_code()))? {
                None => {
                    // The last one of several, as RFC 6455 §5.5.3 has it: a write for each
                    // would cost much more than they do.
                    if let Some(body) = last_ping {
                        self.send(&server_pong(&body));
                    }
                    return Ok(());
                }
                Some(ClientPiece::Payload(bytes)) => {
                    self.session.is_used.set(true);
                    let received = self.session.receive(&mut self.reader, bytes);
                    received.map_err(Ended::Rules)?;
                }
                Some(ClientPiece::MessageEnd) => {
                    self.heard();
                    let ended = self.reader.end_batch();
                    ended.map_err(|_| Ended::Rules(WebEnd::BadFrame))?;
                }
                Some(ClientPiece::Ping(body)) => {
                    self.heard();
                    last_ping = Some(body);
                }
                Some(ClientPiece::Pong) => self.heard(),
                Some(ClientPiece::Close(_)) => {
                    return Err(Ended::Lost(WebEnd::ClosedByApp));
                }
            }
        }
    }

    fn heard(&mut self) {
        let now = self.session.context.reactor.now();
        self.session.heard.set(now);
        self.has_pinged = false;
    }

    /// A control frame, unless the app takes so little that it has no use for one.
    fn send(&self, frame: &[u8]) {
        let buffers = &self.session.context.buffers;
        self.session.with_out(|out| {
            if let Out::Socket(outlet) = out
                && outlet.left() < MAX_REST
            {
                // Whether it broke is seen at the next read.
                let _ = outlet.send(&[frame], buffers);
            }
        });
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let lost = |_| Ended::Lost(WebEnd::Lost);
        loop {
            let is_flushed = self.session.flush(cx).map_err(lost)?;
            if is_flushed && !self.session.waits_for_way() {
                return Ok(());
            }
            match self.connection.poll_writable(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(writable) => writable.map_err(lost)?,
            }
        }
    }

    /// Looks who has been silent for too long: the app, or a stream's client.
    fn look(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        loop {
            let now = self.session.context.reactor.now();
            let is_unread = self.session.context.buffers.free_bytes() == 0;
            if is_unread || self.session.is_short() {
                // Its signs of life are not read.
                self.heard();
            }
            let heard = self.session.heard.get();
            let quiet = heard.min(self.session.sent.get());
            if now >= heard + SILENCE {
                return Err(Ended::Lost(WebEnd::Silent));
            }
            if !self.has_pinged && now >= quiet + PING {
                self.has_pinged = true;
                self.session.sent.set(now);
                self.send(&server_ping(&[]));
                // It may have to wait for the way out.
                cx.waker().wake_by_ref();
            }
            let granting = self.session.grants_at();
            if granting.is_some_and(|at| at <= now) {
                cx.waker().wake_by_ref();
            }
            let next = self.next_look(heard, quiet);
            let first = granting.map_or(next, |at| at.min(next));
            // With traffic all of these move on; it is set again when it fires.
            self.timer
                .set_earlier(first.max(now + Duration::from_millis(1)));
            if self.timer.poll_expired(cx).is_pending() {
                return Ok(());
            }
        }
    }

    fn next_look(&self, heard: Instant, quiet: Instant) -> Instant {
        let ping = match self.has_pinged {
            true => heard + SILENCE,
            false => quiet + PING,
        };
        let stuck = match self.session.is_short() {
            true => self.session.close_stuck(),
            false => None,
        };
        stuck.map_or(ping, |stuck| stuck.min(ping))
    }

    /// What the app is told at the end; nothing if nobody listens.
    fn last_code(&self, end: Ended) -> Option<u16> {
        let is_whole = self.session.with_out(|out| match out {
            Out::Socket(outlet) => outlet.left() == 0,
            _ => true,
        });
        if !is_whole {
            // It would be taken for a part of the frame that has begun.
            return None;
        }
        match end {
            Ended::Session if self.session.ended() == Some(WebEnd::Shutdown) => Some(GONE),
            Ended::Session | Ended::Left => Some(NORMAL),
            Ended::Lost(WebEnd::ClosedByApp) => Some(NORMAL),
            Ended::Lost(_) => None,
            Ended::Frame(code) => Some(code),
            Ended::Rules(_) => Some(PROTOCOL),
        }
    }
}

/// Its task may end before it does: pushed out, at a port of clients.
impl Drop for WebSocket {
    fn drop(&mut self) {
        let lost = Ended::Lost(WebEnd::Lost);
        self.session.leave_socket(self.way, lost);
    }
}

/// Says that nothing follows.
async fn say_last(session: &Session, connection: &Rc<Connection>, code: Option<u16>) {
    let context = &session.context;
    if let Some(code) = code
        && connection.is_flushed()
    {
        let _ = connection.try_write(&[&server_close(code)]);
        let flushing = poll_fn(|cx| connection.poll_writable(cx));
        let _ = context.reactor.timeout(LAST_WORD, flushing).await;
    }
    connection.shut_down_write();
    // Closing with something unread would take the last word back.
    let _ = context
        .scratch
        .with(|space| connection.socket().discard_waiting(space));
}
