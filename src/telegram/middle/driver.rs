use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::answer_reader::AnswerReader;
use super::{MiddleConnection, Secured};
use crate::metrics::ConnectionEnd;
use crate::net::trunk::{Life, Step};
use crate::net::{CHUNK_LEN, Jitter, READS_PER_TURN, Socket, Timer};
use crate::wire::rpc;

/// While a client blocks the connection, only a write that fails tells that it
/// is gone.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How often a connection looks again while it waits for sessions to fall
/// quiet.
const RECHECK: Duration = Duration::from_millis(100);

/// The same while a client blocks it.
const RECHECK_BLOCKED: Duration = Duration::from_millis(20);

/// A draining connection waits this long for its sessions to fall quiet by
/// themselves; from then on it takes no more packets of theirs.
const HOLD_AFTER: Duration = Duration::from_secs(5);

/// How long a draining connection waits for answers under way.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// The same while a client takes them slowly; Telegram ends it before.
const SLOW_DRAIN_LIMIT: Duration = Duration::from_secs(75);

/// The task of one connection: owns the socket until the connection ends.
pub(crate) struct MiddleDriver {
    connection: Rc<MiddleConnection>,
    socket: Socket,
    answers: AnswerReader,
    tick: Timer,
    /// The last ping that was sent only to see whether writing fails.
    probed: Option<Instant>,
    draining_since: Option<Instant>,
}

impl MiddleDriver {
    pub(crate) fn new(secured: Secured) -> (Rc<MiddleConnection>, Self) {
        let Secured {
            connection,
            socket,
            answers,
        } = secured;
        let reactor = &connection.shared.reactor;
        let driver = Self {
            tick: reactor.timer(),
            probed: None,
            draining_since: None,
            answers,
            socket,
            connection: connection.clone(),
        };
        (connection, driver)
    }

    /// Runs the connection; returns why it ended.
    pub(crate) async fn run(&mut self, mut on_tick: impl FnMut()) -> ConnectionEnd {
        self.schedule();
        poll_fn(|cx| self.poll(cx, &mut on_tick)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, on_tick: &mut impl FnMut()) -> Poll<ConnectionEnd> {
        self.connection.task.fill(cx.waker());
        if let Some(end) = self.connection.task.take_fault() {
            return Poll::Ready(end);
        }
        let was_silent = self.connection.is_silent();
        if let Err(end) = self.poll_io(cx) {
            return Poll::Ready(end);
        }
        if was_silent && !self.connection.is_silent() {
            on_tick();
        }
        let is_free_again = self.connection.note_blocker(self.answers.blocked_by());
        if let Some(wait) = self.recheck() {
            let now = self.connection.shared.reactor.now();
            let wait = if is_free_again { Duration::ZERO } else { wait };
            self.tick.set_earlier(now + wait);
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
        if self.answers.is_blocked() {
            self.answers.retry(&self.connection)?;
        }
        let mut reads = 0;
        while !self.answers.is_blocked() {
            match self.answers.poll_read(cx, &self.connection, &self.socket) {
                Poll::Pending => break,
                Poll::Ready(read) => {
                    let bytes = read?;
                    self.connection.note_brought(bytes);
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
        if self.answers.is_blocked() && self.connection.keeps_back() {
            return Ok(());
        }
        self.flush(cx).inspect_err(|_| self.drain_answers(cx))
    }

    /// Nothing can be written any more, but there may be answers still.
    fn drain_answers(&mut self, cx: &mut Context<'_>) {
        let connection = &self.connection;
        while self.answers.unblock(connection).is_ok() {
            match self.answers.poll_read(cx, connection, &self.socket) {
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
        let pending = outbound.pending_bytes();
        drop(outbound);
        self.wake_waiting(cx, pending);
        Ok(())
    }

    /// Lets sessions go on that wait for room: in their order, and no more at
    /// a time than may find some.
    fn wake_waiting(&self, cx: &mut Context<'_>, pending: usize) {
        let (headroom, buffers) = (&self.connection.headroom, &self.connection.shared.buffers);
        if headroom.is_due(pending) && buffers.poll_free(cx).is_ready() {
            let most = buffers.free_bytes() / CHUNK_LEN;
            if headroom.give(pending, most) {
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
        let next = match (self.recheck(), connection.look()) {
            (Some(wait), _) => now + wait,
            (None, Step::Wait(until)) => until,
            (None, _) => now + RECHECK,
        };
        self.tick.set(next);
    }

    /// How soon to look again, if there is more to look for than whether Telegram is
    /// there.
    fn recheck(&self) -> Option<Duration> {
        let connection = &self.connection;
        if self.answers.is_blocked() {
            Some(RECHECK_BLOCKED)
        } else if connection.is_draining() || connection.is_isolated() {
            Some(RECHECK)
        } else {
            None
        }
    }

    fn tick(&mut self) -> Result<(), ConnectionEnd> {
        let now = self.connection.shared.reactor.now();
        if self.connection.is_draining() {
            let since = *self.draining_since.get_or_insert(now);
            let limit = match self.answers.is_blocked() {
                true => SLOW_DRAIN_LIMIT,
                false => DRAIN_LIMIT,
            };
            if now >= since + limit {
                return Err(ConnectionEnd::Drained);
            }
            if now >= since + HOLD_AFTER {
                self.connection.hold_packets();
            }
        }
        if self.answers.is_blocked() {
            // Unread pongs prove nothing, but a write may fail.
            self.connection.life(Life::excuse);
            if self.probed.is_none_or(|probed| now >= probed + PROBE_EVERY) {
                self.probed = Some(now);
                self.ping();
            }
            return Ok(());
        }
        self.check_life(now)
    }

    fn ping(&self) {
        let id = self.connection.shared.random_u64() as i64;
        self.connection.push_control(rpc::ping_body(id));
    }

    fn check_life(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        match self.connection.look() {
            Step::Dead => return Err(ConnectionEnd::PingTimeout),
            Step::Ping => {
                let shared = &self.connection.shared;
                let quiet = Jitter::Double.of(shared.patience.ping_after);
                self.ping();
                self.connection.life(|life| life.ping(now));
                self.connection.quiet.set(quiet);
            }
            Step::Wait(_) => {}
        }
        Ok(())
    }
}
