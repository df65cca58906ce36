//! One web session: the streams of one app, whichever way its frames come and go.
//!
//! | File | What |
//! |---|---|
//! | `incoming` | what the app sends, and room for it |
//! | `outgoing` | what goes to it, stream by stream |
//! | `presence` | whether it is there at all |
//! | `asking` | who of its streams wants to know that |
//!
//! What the app sends for a stream waits here, in chunks of the buffers, until the
//! stream's client takes it; what clients send goes straight to the carrier's way out,
//! one after another, and is not kept while that is busy.

mod asking;
mod incoming;
mod outgoing;
mod presence;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use super::WebContext;
use super::carrier::{Asked, Ended, Out, Uplink};
use super::hosts::Access;
use super::limits::{self, Bucket};
use super::notes::Notes;
use super::stream::{Stream, park, wake};
use crate::client::Peer;
use crate::guard::fair_queue::Origin;
use crate::metrics::{WebCarrier, WebEnd};
use crate::wire::web::{Streams, Ticket};
use asking::{Askers, Asking};

/// What one app has open here.
pub(crate) struct Session {
    pub(super) context: Rc<WebContext>,
    pub(super) ticket: Ticket,
    pub(super) peer: Peer,
    /// The secret and the host that it came with.
    pub(super) access: Access,
    state: RefCell<State>,
    /// The task that carries it, or that waits for something to send.
    carrier: Cell<Option<Waker>>,
    /// The task that reads a body.
    reader: Cell<Option<Waker>>,
    ended: Cell<Option<WebEnd>>,
    /// When something was last heard of the app.
    pub(super) heard: Cell<Instant>,
    /// When something was last sent to it.
    pub(super) sent: Cell<Instant>,
    /// Its WebSocket has brought a message.
    pub(super) is_used: Cell<bool>,
    /// Counts its ways out.
    way: Cell<u32>,
    /// Counts its polls.
    poll: Cell<u32>,
    /// What has come in requests; in a box that sessions on a WebSocket do without.
    uplink: RefCell<Option<Box<Uplink>>>,
    /// Whether the app is there, for those of its streams that ask.
    askers: Askers,
}

struct State {
    streams: Streams<Rc<Stream>>,
    /// Bytes that wait for clients, those of closed streams among them.
    held: usize,
    /// Since when nothing is read for lack of room.
    short_since: Option<Instant>,
    /// What the app is to be told.
    notes: Notes,
    /// When it is told of small grants at the latest.
    grants_at: Option<Instant>,
    out: Out,
    /// Streams that wait to write, in their order.
    line: VecDeque<Rc<Stream>>,
    /// Whose turn it is, and how often the carrier has looked since.
    turn: Option<(Rc<Stream>, u8)>,
    /// Openings.
    openings: Bucket,
    /// Ends that clients have, of streams that are closed too.
    ends: usize,
}

impl Session {
    /// Bytes that may wait for the clients of one session.
    pub(super) const QUOTA: usize = 128 * 1024;

    /// A client that waits until so much is there is not kept waiting.
    pub(super) const MOST_FOR_ONE: usize = 16 * 1024;

    pub(super) fn new(
        context: &Rc<WebContext>,
        ticket: Ticket,
        peer: Peer,
        access: Access,
    ) -> Rc<Self> {
        let now = context.reactor.now();
        context.metrics.web_sessions.inc();
        Rc::new(Self {
            context: context.clone(),
            ticket,
            peer,
            access,
            state: RefCell::new(State {
                streams: Streams::default(),
                held: 0,
                short_since: None,
                notes: Notes::default(),
                grants_at: None,
                out: Out::None,
                line: VecDeque::new(),
                turn: None,
                openings: Bucket::new(limits::OPENINGS, now),
                ends: 0,
            }),
            carrier: Cell::new(None),
            reader: Cell::new(None),
            ended: Cell::new(None),
            heard: Cell::new(now),
            sent: Cell::new(now),
            is_used: Cell::new(false),
            way: Cell::new(0),
            poll: Cell::new(0),
            uplink: RefCell::default(),
            askers: Askers::default(),
        })
    }

    fn now(&self) -> Instant {
        self.context.reactor.now()
    }

    pub(super) fn grants_at(&self) -> Option<Instant> {
        self.state.borrow().grants_at
    }

    pub(super) fn ended(&self) -> Option<WebEnd> {
        self.ended.get()
    }

    /// Ends it with all of its streams; the first reason counts.
    pub(super) fn end(&self, reason: WebEnd) {
        if self.ended.get().is_some() {
            return;
        }
        self.ended.set(Some(reason));
        self.askers.set_asking(Asking::No);
        let context = &self.context;
        context.metrics.web_sessions.dec();
        context.metrics.web_ends.inc(reason);
        context
            .sessions
            .is_over(&self.ticket, context.reactor.now());
        let streams = {
            let mut state = self.state.borrow_mut();
            state.notes.clear();
            state.line.clear();
            state.turn = None;
            let streams: Vec<_> = state.streams.drain().collect();
            streams
        };
        for (_, stream) in streams {
            stream.end();
        }
        self.wake_carrier();
        wake(&self.reader);
    }

    /// Nothing waits for its app.
    pub(super) fn is_taken(&self) -> bool {
        let state = self.state.borrow();
        state.notes.is_empty() && state.out.is_taken()
    }

    /// No client uses it, and nothing waits for its app.
    pub(super) fn is_idle(&self) -> bool {
        self.state.borrow().ends == 0 && self.is_taken()
    }

    /// The subscriber that it is of.
    pub(super) fn origin(&self) -> Origin {
        Origin::of(self.peer.client.ip())
    }

    /// Frames go this way from here on; which of its ways that is.
    pub(super) fn set_out(&self, out: Out) -> u32 {
        let now = self.context.reactor.now();
        self.heard.set(now);
        self.sent.set(now);
        self.way.set(self.way.get().wrapping_add(1));
        let kind = match &out {
            Out::None => None,
            Out::Socket(_) => Some(WebCarrier::WebSocket),
            Out::Batches(_) => Some(WebCarrier::Https),
        };
        if let Some(kind) = kind {
            self.context.metrics.web_carriers.inc(kind);
        }
        self.askers.set_asking(Asking::No);
        let old = std::mem::replace(&mut self.state.borrow_mut().out, out);
        drop(old);
        self.wake_carrier();
        self.way.get()
    }

    pub(super) fn way(&self) -> u32 {
        self.way.get()
    }

    pub(super) fn has_socket(&self) -> bool {
        self.with_out(|out| matches!(out, Out::Socket(_)))
    }

    /// The app has not said yet which way it goes.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.ended.get().is_none() && self.with_out(|out| matches!(out, Out::None))
    }

    /// What looks at, or changes, its way out.
    pub(super) fn with_out<T>(&self, look: impl FnOnce(&mut Out) -> T) -> T {
        look(&mut self.state.borrow_mut().out)
    }

    /// Somebody waits for the way out to be free.
    pub(super) fn waits_for_way(&self) -> bool {
        let state = self.state.borrow();
        let is_wanted = state.turn.is_some() || !state.line.is_empty();
        is_wanted && !state.out.is_free()
    }

    /// Its WebSocket, which was this way, is no more. One that has never brought a
    /// message may be replaced.
    pub(super) fn leave_socket(&self, way: u32, end: Ended) {
        if self.way.get() != way {
            return;
        }
        match end {
            Ended::Session | Ended::Left => {}
            Ended::Lost(_) if !self.is_used.get() => drop(self.set_out(Out::None)),
            Ended::Lost(reason) | Ended::Rules(reason) => self.end(reason),
            Ended::Frame(_) => self.end(WebEnd::BadFrame),
        }
    }

    pub(super) fn heard_of(&self) {
        self.heard.set(self.context.reactor.now());
    }

    /// A poll begins; an older one is over.
    pub(super) fn begin_poll(&self) -> u32 {
        self.heard_of();
        self.poll.set(self.poll.get().wrapping_add(1));
        self.wake_carrier();
        self.poll.get()
    }

    pub(super) fn poll_turn(&self) -> u32 {
        self.poll.get()
    }

    /// A poll asks for what comes behind `cursor`.
    pub(super) fn ask(&self, cursor: u64) -> Asked {
        let mut state = self.state.borrow_mut();
        let Out::Batches(batches) = &mut state.out else {
            return Asked::Wrong;
        };
        let asked = batches.ask(cursor);
        // There is room now.
        state.pass_turn();
        asked
    }

    pub(super) fn with_uplink<T>(&self, change: impl FnOnce(&mut Uplink) -> T) -> T {
        change(self.uplink.borrow_mut().get_or_insert_default())
    }

    pub(super) fn park_carrier(&self, waker: &Waker) {
        park(&self.carrier, waker);
    }

    pub(super) fn park_reader(&self, waker: &Waker) {
        park(&self.reader, waker);
    }

    pub(super) fn wake_reader(&self) {
        wake(&self.reader);
    }

    pub(super) fn wake_carrier(&self) {
        wake(&self.carrier);
    }
}
