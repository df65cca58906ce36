//! One multiplexed connection to a middle proxy (`doc/protocol.md` §4).
//!
//! [`MiddleConnection`] is what sessions and the pool see of it. Its task, `driver`, owns
//! the socket, reads answers by `answer_reader` and sends packets by `outbound`.
//!
//! `session` imports this room and this room `session`, by nature: a session sends on
//! its connection, which brings it the answers.
//!
//! | File | What |
//! |---|---|
//! | `answer_reader.rs` | its reading half: answers, handed to their clients as they come |
//! | `driver.rs` | its task, which owns the socket |
//! | `error.rs` | why no connection came about |
//! | `framing.rs` | numbers and checksums of what is sent |
//! | `handshake.rs` | connects and agrees on keys |
//! | `isolation.rs` | who blocks it, who waits behind, who may leave |
//! | `outbound.rs` | its sending half: the queue of packets |
//! | `patience.rs` | after how much silence something is done about it |

mod answer_reader;
mod driver;
mod error;
mod framing;
mod handshake;
mod isolation;
mod outbound;
mod patience;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::Shared;
use super::held::{Held, QueuedPacket};
use super::session::MiddleSession;
use crate::backend::SessionEnd;
use crate::metrics::{ConnectionEnd, MigrationOutcome};
use crate::net::Jitter;
use crate::net::trunk::{Headroom, Life, SilenceRules, Step, TaskSlot};
use crate::wire::rpc;
use isolation::Isolation;
use outbound::Outbound;

pub(super) use driver::MiddleDriver;
pub(super) use error::ConnectError;
pub(super) use handshake::{Secured, establish};
pub(crate) use patience::Patience;

/// Low bits of a conn_id: the session's place in the table.
const SLOT_BITS: u32 = 20;

pub(super) struct MiddleConnection {
    shared: Rc<Shared>,
    /// The middle proxy.
    address: SocketAddr,
    /// Our end as Telegram sees it; announced with every packet.
    our: SocketAddr,
    opened: Instant,
    life: Cell<Life>,
    /// The silence after which the next ping goes out.
    quiet: Cell<Duration>,
    sessions: RefCell<Slab<(i64, Rc<MiddleSession>)>>,
    next_serial: Cell<u32>,
    outbound: RefCell<Outbound>,
    headroom: Headroom,
    task: TaskSlot<ConnectionEnd>,
    draining: Cell<bool>,
    isolation: Isolation,
}

impl MiddleConnection {
    pub(crate) fn new(
        shared: &Rc<Shared>,
        address: SocketAddr,
        our: SocketAddr,
        outbound: Outbound,
    ) -> Rc<Self> {
        let opened = shared.reactor.now();
        Rc::new(Self {
            shared: shared.clone(),
            address,
            our,
            opened,
            life: Cell::new(Life::new(opened)),
            quiet: Cell::new(Jitter::Double.of(shared.patience.ping_after)),
            sessions: RefCell::default(),
            next_serial: Cell::new(shared.random_u32()),
            outbound: RefCell::new(outbound),
            headroom: Headroom::default(),
            task: TaskSlot::default(),
            draining: Cell::new(false),
            isolation: Isolation::default(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.life.get().is_proven()
    }

    /// When Telegram was last heard.
    pub(crate) fn heard(&self) -> Instant {
        self.life.get().heard()
    }

    /// A ping is unanswered for so long that nobody new should be put on it.
    pub(crate) fn is_silent(&self) -> bool {
        let (life, now) = (self.life.get(), self.shared.reactor.now());
        life.is_silent(now, &self.rules())
    }

    fn look(&self) -> Step {
        let (life, now) = (self.life.get(), self.shared.reactor.now());
        life.look(now, &self.rules())
    }

    fn rules(&self) -> SilenceRules {
        let patience = &self.shared.patience;
        let is_left = self.is_draining() || self.is_isolated();
        patience.rules(match is_left {
            true => patience.ping_after_leaving,
            false => self.quiet.get(),
        })
    }

    fn life(&self, change: impl FnOnce(&mut Life)) {
        let mut life = self.life.get();
        change(&mut life);
        self.life.set(life);
    }

    pub(crate) fn load(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Registers a session under an id that this connection has not used.
    pub(crate) fn attach(&self, session: &Rc<MiddleSession>) -> i64 {
        let serial = self.next_serial.get();
        self.next_serial.set(serial.wrapping_add(1));
        let mut sessions = self.sessions.borrow_mut();
        let entry = sessions.vacant_entry();
        let conn_id = (i64::from(serial) << SLOT_BITS) | entry.key() as i64;
        entry.insert((conn_id, session.clone()));
        let metrics = &self.shared.metrics;
        metrics
            .clients_per_connection
            .observe(sessions.len() as u64);
        conn_id
    }

    /// Forgets a session, and tells Telegram so unless it said so itself.
    pub(crate) fn detach(&self, conn_id: i64, tell_telegram: bool) {
        let mut sessions = self.sessions.borrow_mut();
        let slot = slot_of(conn_id);
        if sessions.get(slot).is_none_or(|(id, _)| *id != conn_id) {
            return;
        }
        let gone = sessions.remove(slot);
        drop(sessions);
        drop(gone);
        if tell_telegram {
            self.push_control(rpc::close_conn_body(conn_id));
        } else {
            self.wake();
        }
    }

    fn find(&self, conn_id: i64) -> Option<Rc<MiddleSession>> {
        let sessions = self.sessions.borrow();
        let (id, session) = sessions.get(slot_of(conn_id))?;
        (*id == conn_id).then(|| session.clone())
    }

    pub(crate) fn push(&self, session: &Rc<MiddleSession>, conn_id: i64, packet: QueuedPacket) {
        self.outbound
            .borrow_mut()
            .push_packet(session, conn_id, packet);
        self.wake();
    }

    pub(crate) fn push_slice(
        &self,
        session: &Rc<MiddleSession>,
        conn_id: i64,
        quick_ack: bool,
        body: &[u8],
    ) {
        self.outbound
            .borrow_mut()
            .push_slice(session, conn_id, quick_ack, body);
        self.wake();
    }

    pub(crate) fn push_held(&self, session: &Rc<MiddleSession>, conn_id: i64, held: Held) {
        if !held.packets.is_empty() {
            self.outbound.borrow_mut().push_held(session, conn_id, held);
            self.wake();
        }
    }

    fn push_control(&self, body: outbound::Control) {
        if self.outbound.borrow_mut().push_control(body) {
            self.wake();
        } else {
            self.kill(ConnectionEnd::Broken);
        }
    }

    fn push_pong(&self, id: i64) {
        self.outbound.borrow_mut().push_pong(id);
        self.wake();
    }

    /// Ready while the queue to Telegram is short and there are buffers.
    pub(crate) fn poll_has_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_short = !Headroom::is_full(self.outbound.borrow().pending_bytes());
        if is_short && self.shared.buffers.free_bytes() > 0 {
            return Poll::Ready(());
        }
        if self.headroom.park(cx.waker()) && is_short {
            // Our task waits for buffers on behalf of all sessions.
            self.wake();
        }
        Poll::Pending
    }

    /// A session that waited for room has left.
    pub(crate) fn unpark(&self, waker: &Waker) {
        self.headroom.unpark(waker);
    }

    pub(crate) fn wake(&self) {
        self.task.wake();
    }

    /// No new sessions come; those that can leave without loss do, and when
    /// the last has left the connection closes.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.wake();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ends the connection at the next turn of its task.
    pub(crate) fn kill(&self, end: ConnectionEnd) {
        self.task.fail(end);
    }

    /// Leaves what is not begun, and all that is to come, to the connections
    /// that the sessions move to.
    pub(crate) fn hold_packets(&self) {
        for (_, (_, session)) in self.sessions.borrow().iter() {
            session.hold();
        }
        let mut outbound = self.outbound.borrow_mut();
        outbound.take_packets(|session, packet| session.requeue(packet));
    }

    /// Whether a session has nothing under way here.
    pub(crate) fn lets_go(&self, session: &MiddleSession) -> bool {
        let outbound = self.outbound.borrow();
        let loss = self.waits(session, outbound.written());
        !outbound.has_packets() && loss.is_none()
    }

    /// Takes off those of the sessions that `leaves` picks that have nothing
    /// under way.
    pub(crate) fn take_quiet_sessions(
        &self,
        leaves: impl Fn(&MiddleSession) -> bool,
    ) -> Vec<Rc<MiddleSession>> {
        let outbound = self.outbound.borrow();
        if outbound.has_packets() {
            return Vec::new();
        }
        let written = outbound.written();
        drop(outbound);
        let mut quiet = Vec::new();
        self.sessions.borrow_mut().retain(|_, (conn_id, session)| {
            let stays = !leaves(session) || self.waits(session, written).is_some();
            if !stays {
                quiet.push((*conn_id, session.clone()));
            }
            stays
        });
        let mut sessions = Vec::with_capacity(quiet.len());
        for (conn_id, session) in quiet {
            self.push_control(rpc::close_conn_body(conn_id));
            session.park();
            sessions.push(session);
        }
        sessions
    }

    /// After the connection's death: parks the sessions that can be moved, with
    /// their queued packets, and ends the others.
    pub(crate) fn take_survivors(&self, end: ConnectionEnd) -> Vec<Rc<MiddleSession>> {
        let heard = match end {
            // All that came before it has been read, and Telegram has read us.
            ConnectionEnd::ClosedByTelegram if !self.is_silent() => self.shared.reactor.now(),
            _ => self.heard_out(),
        };
        let written = self.outbound.borrow().written();
        let sessions = self.sessions.take();
        let mut survivors = Vec::with_capacity(sessions.len());
        for (_, (_, session)) in sessions {
            match session.loss(heard, written) {
                Some(end) => self.lose(&session, end),
                None => {
                    session.park();
                    survivors.push(session);
                }
            }
        }
        let mut outbound = self.outbound.borrow_mut();
        outbound.take_packets(|session, packet| session.requeue(packet));
        survivors
    }

    /// Ends a session whose client then asks again.
    pub(crate) fn lose(&self, session: &MiddleSession, end: SessionEnd) {
        self.shared.migrated(match end {
            SessionEnd::MidAnswer => MigrationOutcome::ClosedMidAnswer,
            _ => MigrationOutcome::ClosedMidSend,
        });
        session.end(end);
    }
}

fn slot_of(conn_id: i64) -> usize {
    (conn_id & ((1 << SLOT_BITS) - 1)) as usize
}
