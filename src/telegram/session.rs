//! One client's use of a DC, which outlives the connections that carry it.
//!
//! It imports `middle` and `pool`, and both import it, by nature: a session sends on
//! its connection, which brings it the answers; a session asks its pool for another
//! connection, and the pool moves sessions.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::exchange::Exchange;
use super::held::{Held, QueuedPacket};
use super::middle::MiddleConnection;
use super::pool::Pool;
use super::slowness::Slowness;
use crate::backend::{Body, Packet, SessionEnd, SessionRequest, Sink, Stream, Taking};
use crate::wire::secret::AdTag;
use crate::wire::transport::Transport;

/// One client's use of a DC through middle proxies. It outlives the
/// connections that carry it.
pub(super) struct MiddleSession {
    pub(crate) client: SocketAddr,
    pub(crate) tag: Option<AdTag>,
    pub(crate) transport: Transport,
    sink: Rc<dyn Sink>,
    pool: Rc<Pool>,
    seating: RefCell<Seating>,
    waker: RefCell<Option<Waker>>,
    exchange: Cell<Exchange>,
    slowness: Cell<Slowness>,
}

/// Where a session is. With neither a home nor packets it has ended.
struct Seating {
    /// Its connection, and its id there.
    home: Option<(Rc<MiddleConnection>, i64)>,
    /// Packets that wait for the next connection: while there is none, or while the
    /// session is about to leave the present one. In a box: few sessions have any.
    packets: Option<Box<Held>>,
}

impl MiddleSession {
    pub(crate) fn new(request: &SessionRequest, sink: Rc<dyn Sink>, pool: &Rc<Pool>) -> Rc<Self> {
        Rc::new(Self {
            client: request.client,
            tag: request.tag,
            transport: request.transport,
            sink,
            pool: pool.clone(),
            seating: RefCell::new(Seating {
                home: None,
                packets: Some(Box::default()),
            }),
            waker: RefCell::default(),
            exchange: Cell::default(),
            slowness: Cell::default(),
        })
    }

    pub(crate) fn sink(&self) -> &Rc<dyn Sink> {
        &self.sink
    }

    pub(crate) fn is_ended(&self) -> bool {
        let seating = self.seating.borrow();
        seating.home.is_none() && seating.packets.is_none()
    }

    /// Puts the session on `connection`, and the packets that it brings along.
    pub(crate) fn move_to(self: &Rc<Self>, connection: &Rc<MiddleConnection>) -> usize {
        let conn_id = connection.attach(self);
        let seating = Seating {
            home: Some((connection.clone(), conn_id)),
            packets: None,
        };
        self.exchange.take();
        let held = self.seating.replace(seating).packets.unwrap_or_default();
        let moved = held.packets.len();
        connection.push_held(self, conn_id, *held);
        self.wake();
        moved
    }

    /// Keeps what the client sends from now on for the next connection.
    pub(crate) fn hold(&self) {
        self.seating.borrow_mut().packets.get_or_insert_default();
    }

    /// Hands its connection what was kept.
    pub(crate) fn release(self: &Rc<Self>) {
        let mut seating = self.seating.borrow_mut();
        let Some((connection, conn_id)) = seating.home.clone() else {
            return;
        };
        let Some(held) = seating.packets.take() else {
            return;
        };
        drop(seating);
        connection.push_held(self, conn_id, *held);
        self.wake();
    }

    /// Takes the session off its connection until another one is there.
    pub(crate) fn park(&self) {
        self.hold();
        self.seating.borrow_mut().home = None;
    }

    /// Keeps a packet that did not leave the last connection.
    pub(crate) fn requeue(&self, packet: QueuedPacket) {
        if let Some(held) = &mut self.seating.borrow_mut().packets {
            held.push(self.pool.buffers(), packet);
        }
    }

    /// Ends the session from our side; Telegram is told if it does not know.
    pub(crate) fn end(&self, end: SessionEnd) {
        if self.leave(end != SessionEnd::ClosedByTelegram) {
            self.sink.end(end);
            self.wake();
        }
    }

    /// See [`Exchange::sent`].
    pub(crate) fn sent(&self, now: Instant, end: u64) {
        self.exchange(|exchange| exchange.sent(now, end));
    }

    pub(crate) fn begin_answer(&self, len: usize) {
        self.exchange(|exchange| exchange.begin_answer(len));
        self.sink.begin_packet(len);
    }

    pub(crate) fn end_answer(&self, now: Instant) {
        self.exchange(|exchange| exchange.end_answer(now));
        self.sink.end_packet();
    }

    /// See [`Exchange::loss`].
    pub(crate) fn loss(&self, heard: Instant, written: u64) -> Option<SessionEnd> {
        self.exchange.get().loss(heard, written)
    }

    /// It blocks its connection `now`. See [`Slowness`].
    pub(crate) fn blocks(&self, now: Instant, taking: &Taking) {
        let mut slowness = self.slowness.get();
        slowness.blocks(now, taking.last, taking.lag);
        self.slowness.set(slowness);
    }

    /// The connection that it blocks was left to it. See [`Slowness`].
    pub(crate) fn isolate(&self) {
        let mut slowness = self.slowness.get();
        slowness.isolate();
        self.slowness.set(slowness);
    }

    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.slowness.get().is_slow(now)
    }

    pub(crate) fn reads(&self, now: Instant) -> bool {
        self.slowness.get().reads(now)
    }

    /// See [`Exchange::is_in_bulk`].
    pub(crate) fn is_in_bulk(&self, heard: Instant) -> bool {
        self.exchange.get().is_in_bulk(heard)
    }

    fn exchange(&self, change: impl FnOnce(&mut Exchange)) {
        let mut exchange = self.exchange.get();
        change(&mut exchange);
        self.exchange.set(exchange);
    }

    /// Before the client says something: leaves a connection on which nobody answers.
    fn leave_silence(self: &Rc<Self>) {
        let seating = self.seating.borrow();
        let home = seating.home.as_ref().filter(|(home, _)| home.is_silent());
        let Some((connection, conn_id)) = home.filter(|_| seating.packets.is_none()).cloned()
        else {
            return;
        };
        drop(seating);
        if self.pool.leave_silence(self, &connection, conn_id)
            && let Some(waker) = &*self.waker.borrow()
        {
            connection.unpark(waker);
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn leave(&self, tell_telegram: bool) -> bool {
        let was_ended = self.is_ended();
        let mut seating = self.seating.borrow_mut();
        let home = seating.home.take();
        let packets = seating.packets.take();
        drop(seating);
        drop(packets);
        if let Some((connection, conn_id)) = home {
            connection.detach(conn_id, tell_telegram);
            if let Some(waker) = &*self.waker.borrow() {
                connection.unpark(waker);
            }
        }
        !was_ended
    }
}

/// The client's handle on its session.
pub(super) struct MiddleStream(Rc<MiddleSession>);

impl MiddleStream {
    pub(crate) fn new(session: Rc<MiddleSession>) -> Self {
        Self(session)
    }
}

impl Stream for MiddleStream {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let session = &self.0;
        session.leave_silence();
        let seating = session.seating.borrow();
        let ready = match (&seating.packets, &seating.home) {
            (Some(_), _) => Poll::Pending,
            (None, Some((connection, _))) => connection.poll_has_room(cx),
            (None, None) => Poll::Ready(()),
        };
        if ready.is_pending() {
            session.waker.replace(Some(cx.waker().clone()));
        }
        ready
    }

    fn push(&self, packet: Packet<'_>) {
        let session = &self.0;
        let quick_ack = packet.quick_ack;
        let buffers = session.pool.buffers();
        let seating = &mut *session.seating.borrow_mut();
        match (&mut seating.packets, &seating.home, packet.body) {
            (None, Some((connection, conn_id)), Body::Slice(body)) => {
                connection.push_slice(session, *conn_id, quick_ack, body);
            }
            (None, Some((connection, conn_id)), Body::Rope(body)) => {
                connection.push(session, *conn_id, QueuedPacket { quick_ack, body });
            }
            // The client was read before the session lost its connection: this is the
            // rest of that read.
            (Some(held), _, Body::Slice(body)) => held.push_slice(buffers, quick_ack, body),
            (Some(held), _, Body::Rope(body)) => {
                held.push(buffers, QueuedPacket { quick_ack, body });
            }
            (None, None, _) => {}
        }
    }

    fn resume(&self) {
        if let Some((connection, _)) = &self.0.seating.borrow().home {
            connection.wake();
        }
    }
}

impl Drop for MiddleStream {
    fn drop(&mut self) {
        self.0.leave(true);
    }
}
