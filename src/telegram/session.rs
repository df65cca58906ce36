use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::exchange::Exchange;
use super::middle::Connection;
use super::pool::Pool;
use crate::backend::{Body, Packet, SessionEnd, SessionRequest, Sink, Stream};
use crate::net::Rope;
use crate::wire::secret::AdTag;
use crate::wire::transport::Transport;

/// A client's packet on its way to Telegram.
pub(super) struct QueuedPacket {
    pub quick_ack: bool,
    pub body: Rope,
}

/// One client's use of a DC through middle proxies. It outlives the
/// connections that carry it.
pub(super) struct MiddleSession {
    pub client: SocketAddr,
    pub tag: Option<AdTag>,
    pub transport: Transport,
    sink: Rc<dyn Sink>,
    pool: Rc<Pool>,
    place: RefCell<Place>,
    waker: RefCell<Option<Waker>>,
    exchange: Cell<Exchange>,
}

enum Place {
    On {
        connection: Rc<Connection>,
        conn_id: i64,
    },
    /// Between connections, with the packets that did not leave the last one.
    Parked(Vec<QueuedPacket>),
    Ended,
}

impl MiddleSession {
    pub fn new(request: &SessionRequest, sink: Rc<dyn Sink>, pool: &Rc<Pool>) -> Rc<Self> {
        Rc::new(Self {
            client: request.client,
            tag: request.tag,
            transport: request.transport,
            sink,
            pool: pool.clone(),
            place: RefCell::new(Place::Parked(Vec::new())),
            waker: RefCell::default(),
            exchange: Cell::default(),
        })
    }

    pub fn sink(&self) -> &Rc<dyn Sink> {
        &self.sink
    }

    pub fn is_ended(&self) -> bool {
        matches!(*self.place.borrow(), Place::Ended)
    }

    /// Puts the session on `connection`, and the packets that it brings along.
    pub fn move_to(self: &Rc<Self>, connection: &Rc<Connection>) -> usize {
        let conn_id = connection.attach(self);
        let place = Place::On {
            connection: connection.clone(),
            conn_id,
        };
        self.exchange.take();
        let mut moved = 0;
        if let Place::Parked(packets) = self.place.replace(place) {
            moved = packets.len();
            for packet in packets {
                connection.push(self, conn_id, packet);
            }
        }
        self.wake();
        moved
    }

    /// Takes the session off its connection until another one is there.
    pub fn park(&self) {
        self.place.replace(Place::Parked(Vec::new()));
    }

    /// Keeps a packet that did not leave the last connection.
    pub fn requeue(&self, packet: QueuedPacket) {
        if let Place::Parked(packets) = &mut *self.place.borrow_mut() {
            packets.push(packet);
        }
    }

    /// Ends the session from our side; Telegram is told if it does not know.
    pub fn end(&self, end: SessionEnd) {
        if self.leave(end != SessionEnd::ClosedByTelegram) {
            self.sink.end(end);
            self.wake();
        }
    }

    /// See [`Exchange::sent`].
    pub fn sent(&self, now: Instant, end: u64) {
        self.exchange(|exchange| exchange.sent(now, end));
    }

    pub fn begin_answer(&self, len: usize) {
        self.exchange(Exchange::begin_answer);
        self.sink.begin_packet(len);
    }

    pub fn end_answer(&self, now: Instant) {
        self.exchange(|exchange| exchange.end_answer(now));
        self.sink.end_packet();
    }

    /// See [`Exchange::loss`].
    pub fn loss(&self, heard: Instant, written: u64) -> Option<SessionEnd> {
        self.exchange.get().loss(heard, written)
    }

    fn exchange(&self, change: impl FnOnce(&mut Exchange)) {
        let mut exchange = self.exchange.get();
        change(&mut exchange);
        self.exchange.set(exchange);
    }

    pub fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn leave(&self, tell_telegram: bool) -> bool {
        match self.place.replace(Place::Ended) {
            Place::On {
                connection,
                conn_id,
            } => {
                connection.detach(conn_id, tell_telegram);
                if let Some(waker) = &*self.waker.borrow() {
                    connection.unpark(waker);
                }
                true
            }
            Place::Parked(_) => true,
            Place::Ended => false,
        }
    }
}

/// The client's handle on its session.
pub(super) struct MiddleStream(Rc<MiddleSession>);

impl MiddleStream {
    pub fn new(session: Rc<MiddleSession>) -> Self {
        Self(session)
    }
}

impl Stream for MiddleStream {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let session = &self.0;
        let ready = match &*session.place.borrow() {
            Place::On { connection, .. } => connection.poll_has_room(cx),
            Place::Parked(_) => Poll::Pending,
            Place::Ended => Poll::Ready(()),
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
        match (&mut *session.place.borrow_mut(), packet.body) {
            (
                Place::On {
                    connection,
                    conn_id,
                },
                Body::Slice(body),
            ) => {
                connection.push_slice(session, *conn_id, quick_ack, body);
            }
            (
                Place::On {
                    connection,
                    conn_id,
                },
                Body::Rope(body),
            ) => {
                connection.push(session, *conn_id, QueuedPacket { quick_ack, body });
            }
            // The client was read before the session was parked: what comes is
            // the rest of that read.
            (Place::Parked(packets), body) => {
                let body = match body {
                    Body::Rope(body) => body,
                    Body::Slice(slice) => {
                        let mut rope = Rope::default();
                        rope.append_overdrawn(buffers, slice);
                        rope
                    }
                };
                packets.push(QueuedPacket { quick_ack, body });
            }
            (Place::Ended, _) => {}
        }
    }

    fn resume(&self) {
        if let Place::On { connection, .. } = &*self.0.place.borrow() {
            connection.wake();
        }
    }
}

impl Drop for MiddleStream {
    fn drop(&mut self) {
        self.0.leave(true);
    }
}
