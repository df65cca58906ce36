use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::inbound::Inbound;
use super::life::{Life, Step};
use super::{Connection, Established, OUTBOUND_LIMIT};
use crate::backend::SessionEnd;
use crate::metrics::ConnectionEnd;
use crate::net::{CHUNK_LEN, Socket, Timer};
use crate::wire::rpc;

/// Reads per turn before other tasks get theirs.
const READS_PER_TURN: usize = 4;

/// Sessions that go on together when there is room again.
const LET_IN_PER_TURN: usize = 8;

/// How often a connection looks again while a client blocks it, or while it
/// waits for its last sessions to fall quiet.
const RECHECK: Duration = Duration::from_millis(100);

/// A client that holds up others for this long is closed.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// A draining connection waits this long for its sessions to fall quiet by
/// themselves; from then on it takes no more packets of theirs.
const HOLD_AFTER: Duration = Duration::from_secs(5);

/// How long a draining connection waits for answers under way.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// The task of one connection: owns the socket until the connection ends.
pub(crate) struct Driver {
    connection: Rc<Connection>,
    socket: Socket,
    inbound: Inbound,
    tick: Timer,
    draining_since: Option<Instant>,
}

impl Driver {
    pub fn new(established: Established) -> (Rc<Connection>, Self) {
        let Established {
            connection,
            socket,
            inbound,
        } = established;
        let reactor = &connection.shared.reactor;
        let driver = Self {
            tick: reactor.timer(),
            draining_since: None,
            inbound,
            socket,
            connection: connection.clone(),
        };
        (connection, driver)
    }

    /// Runs the connection; returns why it ended.
    pub async fn run(&mut self, mut on_tick: impl FnMut()) -> ConnectionEnd {
        self.schedule();
        poll_fn(|cx| self.poll(cx, &mut on_tick)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, on_tick: &mut impl FnMut()) -> Poll<ConnectionEnd> {
        self.connection.task.set(Some(cx.waker().clone()));
        if let Some(end) = self.connection.kill.take() {
            return Poll::Ready(end);
        }
        let was_silent = self.connection.is_silent();
        if let Err(end) = self.poll_io(cx) {
            return Poll::Ready(end);
        }
        if was_silent && !self.connection.is_silent() {
            on_tick();
        }
        if self.inbound.is_blocked() || self.connection.is_draining() {
            let soon = self.connection.shared.reactor.now() + RECHECK;
            self.tick.set_earlier(soon);
        }
        while self.tick.poll_expired(cx).is_ready() {
            if let Err(end) = self.tick() {
                return Poll::Ready(end);
            }
            on_tick();
            self.schedule();
        }
        if self.is_drained() {
            return Poll::Ready(ConnectionEnd::Drained);
        }
        Poll::Pending
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Result<(), ConnectionEnd> {
        if self.inbound.is_blocked() {
            self.inbound.retry(&self.connection)?;
        }
        let mut reads = 0;
        while !self.inbound.is_blocked() {
            match self.inbound.poll_read(cx, &self.connection, &self.socket) {
                Poll::Pending => break,
                Poll::Ready(read) => {
                    let bytes = read?;
                    let shared = &self.connection.shared;
                    shared.metrics.dc_bytes_in.add(bytes as u64);
                    let now = shared.reactor.now();
                    self.connection.life(|life| life.hear(now));
                }
            }
            reads += 1;
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.flush(cx).inspect_err(|_| self.hear_out(cx))
    }

    /// Nothing can be written any more, but there may be answers still.
    fn hear_out(&mut self, cx: &mut Context<'_>) {
        let connection = &self.connection;
        while self.inbound.unblock(connection).is_ok() {
            match self.inbound.poll_read(cx, connection, &self.socket) {
                Poll::Ready(Ok(_)) => {}
                _ => return,
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), ConnectionEnd> {
        let connection = &self.connection;
        let shared = &connection.shared;
        let mut outbound = connection.outbound.borrow_mut();
        let now = shared.reactor.now();
        let was_stuck = outbound.is_stuck();
        let flushed = outbound
            .flush(&self.socket, &shared.scratch, connection.our, now)
            .map_err(|_| ConnectionEnd::Broken)?;
        if was_stuck && flushed.bytes > 0 {
            connection.life(|life| life.take(now));
        }
        shared.metrics.dc_bytes_out.add(flushed.bytes as u64);
        shared.metrics.dc_packets_out.add(flushed.packets as u64);
        if !outbound.is_idle() && self.socket.poll_writable(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        let roomy = outbound.pending_bytes() < OUTBOUND_LIMIT / 2;
        drop(outbound);
        if roomy {
            self.let_in(cx);
        }
        Ok(())
    }

    /// Lets sessions go on that wait for room: in their order, and no more at
    /// a time than may find some.
    fn let_in(&self, cx: &mut Context<'_>) {
        let (has_room, buffers) = (&self.connection.has_room, &self.connection.shared.buffers);
        if has_room.is_awaited() && buffers.poll_free(cx).is_ready() {
            let most = (buffers.free_bytes() / CHUNK_LEN).min(LET_IN_PER_TURN);
            if has_room.notify_first(most) {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn is_drained(&self) -> bool {
        let connection = &self.connection;
        connection.is_draining() && connection.load() == 0 && connection.outbound.borrow().is_idle()
    }

    fn schedule(&mut self) {
        let connection = &self.connection;
        let now = connection.shared.reactor.now();
        let soon = self.inbound.is_blocked() || connection.is_draining();
        let next = match connection.look() {
            Step::Wait(until) if !soon => until,
            _ => now + RECHECK,
        };
        self.tick.set(next);
    }

    fn tick(&mut self) -> Result<(), ConnectionEnd> {
        let now = self.connection.shared.reactor.now();
        if self.connection.is_draining() {
            let since = *self.draining_since.get_or_insert(now);
            if now >= since + DRAIN_LIMIT {
                return Err(ConnectionEnd::Drained);
            }
            if now >= since + HOLD_AFTER {
                self.connection.hold_packets();
            }
        }
        if self.inbound.is_blocked() {
            // Unread pongs prove nothing.
            self.connection.life(Life::excuse);
            self.close_blocker(now);
            return Ok(());
        }
        self.check_life(now)
    }

    /// Alone, a slow client only holds up itself, and its own time limit sees
    /// to it; in company it must not hold up the others for long.
    fn close_blocker(&mut self, now: Instant) {
        let Some((session, since)) = self.inbound.blocked_by() else {
            return;
        };
        self.connection.shared.metrics.backpressure.add(RECHECK);
        if self.connection.load() > 1 && now.duration_since(since) > STALL_LIMIT {
            session.clone().end(SessionEnd::TooSlow);
        }
    }

    fn check_life(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        let connection = &self.connection;
        match connection.look() {
            Step::Dead => return Err(ConnectionEnd::PingTimeout),
            Step::Ping => {
                let shared = &connection.shared;
                let id = shared.random_u64() as i64;
                let quiet = shared.jittered(shared.patience.ping_after);
                connection.push_control(rpc::ping_body(id));
                connection.life(|life| life.ping(now, quiet));
            }
            Step::Wait(_) => {}
        }
        Ok(())
    }
}
