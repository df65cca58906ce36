//! One web session: the streams of one app, whichever way its frames come and go.
//!
//! What the app sends for a stream waits here, in chunks of the buffers, until the
//! stream's client takes it; what clients send goes straight to the carrier's way out,
//! one after another, and is not kept while that is busy.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::WebContext;
use super::carrier::{Asked, Ended, Out, Uplink};
use super::hosts::Access;
use super::limits::{self, Bucket};
use super::notes::{MAX_NOTES, Note, Notes};
use super::stream::{End, Stream, park, wake};
use crate::client::Peer;
use crate::guard::fair_queue::Origin;
use crate::metrics::{WebCarrier, WebEnd};
use crate::wire::web::{FrameReader, Piece, StreamId, Streams, Ticket};

/// How long a stream's client may take nothing of what waits for it.
const STUCK: Duration = Duration::from_secs(30);

/// The same while it keeps the others from being read.
const STUCK_BEFORE_OTHERS: Duration = Duration::from_secs(4);

/// How often a stream whose turn it is may be found not to have used it.
const MAX_LOOKS: u8 = 2;

/// What it has to take in [`STUCK`] while it keeps the others from being read: 4 KiB/s.
const TOO_LITTLE: u32 = 30 * 4096;

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
}

struct State {
    streams: Streams<Rc<Stream>>,
    /// Bytes that wait for clients, those of closed streams among them.
    held: usize,
    /// Since when nothing is read for lack of room.
    short_since: Option<Instant>,
    /// What the app is to be told.
    notes: Notes,
    out: Out,
    /// Streams that wait to write, in their order.
    line: VecDeque<Rc<Stream>>,
    /// Whose turn it is, and how often the carrier has looked since.
    turn: Option<(Rc<Stream>, u8)>,
    /// Openings.
    openings: Bucket,
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
                out: Out::None,
                line: VecDeque::new(),
                turn: None,
                openings: Bucket::new(limits::OPENINGS, now),
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
        })
    }

    // --- its end

    pub(super) fn ended(&self) -> Option<WebEnd> {
        self.ended.get()
    }

    /// Ends it with all of its streams; the first reason counts.
    pub(super) fn end(&self, reason: WebEnd) {
        if self.ended.get().is_some() {
            return;
        }
        self.ended.set(Some(reason));
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

    /// The subscriber that it is of.
    pub(super) fn origin(&self) -> Origin {
        Origin::of(self.peer.client.ip())
    }

    // --- what the app sends

    /// Goes on with frames that the app has sent, all of `input`.
    pub(super) fn receive(
        self: &Rc<Self>,
        reader: &mut FrameReader,
        input: &mut [u8],
    ) -> Result<(), WebEnd> {
        let mut input = input;
        loop {
            match reader.next(&mut input) {
                Ok(Some(piece)) => self.take(piece)?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(WebEnd::BadFrame),
            }
        }
    }

    fn take(self: &Rc<Self>, piece: Piece<'_>) -> Result<(), WebEnd> {
        match piece {
            // The one at its beginning was in the request that made it.
            Piece::Hello => Err(WebEnd::BadFrame),
            Piece::Pong => Ok(()),
            Piece::Open(id) => self.open(id),
            Piece::DataBegins { stream, length } => self.expect_data(stream, length),
            Piece::Data { stream, bytes } => {
                self.data(stream, bytes);
                Ok(())
            }
            Piece::Window { stream, credit } => self.window(stream, credit),
            Piece::Close(id) => self.close_by_app(id),
        }
    }

    fn open(self: &Rc<Self>, id: StreamId) -> Result<(), WebEnd> {
        let now = self.context.reactor.now();
        let stream = {
            let mut state = self.state.borrow_mut();
            let is_full = state.streams.len() >= limits::STREAMS_OF_SESSION
                || !state.openings.take(limits::OPENINGS, now)
                || !self.context.streams.take();
            if is_full {
                let refused = state.streams.refuse(id);
                refused.map_err(|_| WebEnd::BadStream)?;
                self.context.metrics.web_streams_refused.inc();
                state.notes.push(Note::Close(id));
                drop(state);
                self.wake_carrier();
                return Ok(());
            }
            let stream = Stream::new(id, now);
            if state.streams.open(id, stream.clone()).is_err() {
                self.context.streams.give_back();
                return Err(WebEnd::BadStream);
            }
            stream
        };
        self.context.serve_stream(self, End::new(self, stream));
        Ok(())
    }

    /// Bytes of this stream follow.
    fn expect_data(&self, id: StreamId, length: u32) -> Result<(), WebEnd> {
        let Some(stream) = self.addressed(id)? else {
            return Ok(());
        };
        let received = stream.from_app.borrow_mut().receive(length);
        received.map_err(|_| WebEnd::CreditOverrun)
    }

    fn data(&self, id: StreamId, bytes: &mut [u8]) {
        // It may have been closed since its frame began.
        let Ok(Some(stream)) = self.addressed(id) else {
            return;
        };
        let was_empty = {
            let mut queue = stream.queue.borrow_mut();
            let was_empty = queue.is_empty();
            queue.append_overdrawn(&self.context.buffers, bytes);
            was_empty
        };
        if was_empty {
            stream.taken_at.set(self.context.reactor.now());
        }
        self.state.borrow_mut().held += bytes.len();
        stream.wake_reader();
    }

    fn window(&self, id: StreamId, credit: u32) -> Result<(), WebEnd> {
        if let Some(stream) = self.addressed(id)? {
            stream.to_app.borrow_mut().add(credit);
            stream.wake_writer();
        }
        Ok(())
    }

    fn close_by_app(&self, id: StreamId) -> Result<(), WebEnd> {
        if let Some(stream) = self.addressed(id)? {
            self.forget(&stream);
            stream.end();
        }
        Ok(())
    }

    /// The stream that a frame is for; `None`: it was closed not long ago.
    fn addressed(&self, id: StreamId) -> Result<Option<Rc<Stream>>, WebEnd> {
        let state = self.state.borrow();
        let stream = state.streams.get(id).map_err(|_| WebEnd::BadStream)?;
        Ok(stream.cloned())
    }

    /// It is open no more.
    fn forget(&self, stream: &Rc<Stream>) {
        let is_next = {
            let mut state = self.state.borrow_mut();
            // The id may be another's by now.
            let open = state.streams.get(stream.id).ok().flatten();
            if open.is_some_and(|open| Rc::ptr_eq(open, stream)) {
                let _ = state.streams.close(stream.id);
            }
            state.leave_line(stream);
            state.pass_turn()
        };
        if is_next {
            self.wake_carrier();
        }
    }

    // --- room for it

    /// Bytes that may be read from the carrier now; pending without room for any.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state.borrow_mut();
        let room = Self::QUOTA.saturating_sub(state.held);
        if room > 0 {
            state.short_since = None;
            return match state.notes.len() < MAX_NOTES {
                // Its waker comes back when there is room.
                true => self.context.buffers.poll_free(cx).map(|()| room),
                false => Poll::Pending,
            };
        }
        if state.short_since.is_none() {
            state.short_since = Some(self.context.reactor.now());
            for (_, stream) in state.streams.iter() {
                stream.taken.set(0);
                // One that waits for more gets no more.
                stream.wake_reader();
            }
        }
        Poll::Pending
    }

    /// Nothing more is read until clients take something.
    pub(super) fn is_short(&self) -> bool {
        self.state.borrow().short_since.is_some()
    }

    /// The client of a stream has taken `length` bytes out of its queue.
    pub(super) fn took(&self, stream: &Rc<Stream>, length: usize) {
        stream.taken_at.set(self.context.reactor.now());
        let taken = u32::try_from(length).unwrap_or(u32::MAX);
        stream.taken.set(stream.taken.get().saturating_add(taken));
        let is_over = self.is_over(stream);
        let grant = {
            let mut credit = stream.from_app.borrow_mut();
            let worth_it = credit.left(length);
            let idle = || credit.idle().filter(|_| stream.queued() == 0);
            if is_over {
                None
            } else {
                worth_it.or_else(idle)
            }
        };
        let was_full = {
            let mut state = self.state.borrow_mut();
            let was_full = state.held >= Self::QUOTA;
            state.held = state.held.saturating_sub(length);
            if let Some(credit) = grant {
                state.notes.push(Note::Window(stream.id, credit));
            }
            was_full
        };
        if grant.is_some() || was_full {
            self.wake_carrier();
        }
        if was_full {
            wake(&self.reader);
        }
    }

    /// Closes streams whose clients take too little; gives when to look again.
    pub(super) fn close_stuck(&self) -> Option<Instant> {
        let now = self.context.reactor.now();
        let (stuck, next) = {
            let state = self.state.borrow();
            state.stuck(now)
        };
        for stream in stuck {
            self.context.metrics.web_streams_stuck.inc();
            self.close(&stream);
            stream.end();
        }
        next
    }

    // --- what goes to the app

    /// Hands on what the carrier takes of it now, in one frame.
    pub(super) fn write(&self, stream: &Rc<Stream>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_over(stream) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut state = self.state.borrow_mut();
        if !stream.has_credit() || !state.is_turn_of(stream) {
            return Ok(0);
        }
        let state = &mut *state;
        let flushed = state.out.flush(&mut state.notes, &self.context.buffers);
        let written = match flushed {
            Ok(true) => {
                let credit = stream.to_app.borrow().available();
                let buffers = &self.context.buffers;
                state.out.write(stream.id, slices, credit, buffers)
            }
            Ok(false) => Ok(0),
            Err(error) => Err(error),
        };
        let written = written.inspect_err(|_| self.wake_carrier())?;
        if written > 0 {
            self.sent.set(self.context.reactor.now());
            stream.to_app.borrow_mut().spend(written);
            state.turn = None;
        }
        if state.pass_turn() || !state.out.is_free() {
            // It waits for the way out, and for who has its turn.
            self.wake_carrier();
        }
        Ok(written)
    }

    /// The next write of this stream takes something, or fails.
    pub(super) fn may_write(&self, stream: &Rc<Stream>) -> bool {
        if self.is_over(stream) {
            return true;
        }
        let state = self.state.borrow();
        stream.has_credit() && state.is_turn_of(stream) && state.out.is_free()
    }

    /// It has something to send, and wants its turn for that.
    pub(super) fn wait_in_line(&self, stream: &Rc<Stream>) {
        let mut state = self.state.borrow_mut();
        if !stream.has_credit() || state.has_turn(stream) || stream.is_in_line.get() {
            return;
        }
        stream.is_in_line.set(true);
        state.line.push_back(stream.clone());
        drop(state);
        self.wake_carrier();
    }

    /// Sends what waits, and lets who waits for that take turns; the carrier's task calls
    /// it whenever it is woken. Whether nothing is left to be sent.
    pub(super) fn flush(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if !state.out.flush(&mut state.notes, &self.context.buffers)? {
            return Ok(false);
        }
        if state.out.is_free() {
            if let Some((stream, looks)) = &mut state.turn {
                *looks += 1;
                // It may have found the way out taken.
                stream.wake_writer();
                if *looks > MAX_LOOKS {
                    // It has nothing to say after all.
                    state.turn = None;
                }
            }
            if state.pass_turn() || state.turn.is_some() {
                cx.waker().wake_by_ref();
            }
        }
        Ok(true)
    }

    /// Closes a stream: the app is told, unless it was the one who did it.
    pub(super) fn close(&self, stream: &Rc<Stream>) {
        if stream.is_closed.replace(true) {
            return;
        }
        let queued = {
            let mut queue = stream.queue.borrow_mut();
            let queued = queue.len();
            queue.clear();
            queued
        };
        self.context.stream_is_over();
        {
            let mut state = self.state.borrow_mut();
            state.held = state.held.saturating_sub(queued);
            if !stream.has_ended.get() && self.ended.get().is_none() {
                state.notes.push(Note::Close(stream.id));
            }
        }
        self.forget(stream);
        self.wake_carrier();
        wake(&self.reader);
    }

    fn is_over(&self, stream: &Stream) -> bool {
        self.ended.get().is_some() || stream.has_ended.get() || stream.is_closed.get()
    }

    // --- its carrier

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

    pub(super) fn wake_carrier(&self) {
        wake(&self.carrier);
    }
}

impl State {
    /// Nobody else waits, or it is the first of those.
    fn is_turn_of(&self, stream: &Rc<Stream>) -> bool {
        match &self.turn {
            Some((next, _)) => Rc::ptr_eq(next, stream),
            None => self.line.is_empty(),
        }
    }

    fn has_turn(&self, stream: &Rc<Stream>) -> bool {
        let turn = self.turn.as_ref();
        turn.is_some_and(|(next, _)| Rc::ptr_eq(next, stream))
    }

    /// If the way out is free, the next one may write; whether there is one.
    fn pass_turn(&mut self) -> bool {
        if self.turn.is_some() || self.line.is_empty() || !self.out.is_free() {
            return false;
        }
        if matches!(self.out, Out::Batches(_)) {
            // Nobody looks whether each has used its turn: as there is room for several,
            // all of them try, in their order.
            for stream in self.line.drain(..) {
                stream.is_in_line.set(false);
                stream.wake_writer();
            }
            return false;
        }
        let Some(stream) = self.line.pop_front() else {
            return false;
        };
        stream.is_in_line.set(false);
        stream.wake_writer();
        self.turn = Some((stream, 0));
        true
    }

    fn leave_line(&mut self, stream: &Rc<Stream>) {
        if stream.is_in_line.replace(false) {
            self.line.retain(|other| !Rc::ptr_eq(other, stream));
        }
        if self.has_turn(stream) {
            self.turn = None;
        }
    }

    /// Streams whose clients take too little, and when there may be one.
    fn stuck(&self, now: Instant) -> (Vec<Rc<Stream>>, Option<Instant>) {
        let mut next = None;
        let mut is_over = |since: Instant, limit: Duration| {
            let until = since.checked_add(limit);
            let is_over = until.is_some_and(|until| until <= now);
            if !is_over && let Some(until) = until {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
            }
            is_over
        };
        let waiting = || {
            let streams = self.streams.iter().map(|(_, stream)| stream);
            streams.filter(|stream| stream.queued() > 0)
        };
        let mut stuck: Vec<_> = waiting()
            .filter(|stream| is_over(stream.taken_at.get(), STUCK))
            .cloned()
            .collect();
        let largest = waiting().max_by_key(|stream| stream.queued());
        if let (Some(largest), Some(since)) = (largest, self.short_since)
            && self.streams.len() > 1
            && stuck.is_empty()
        {
            let is_still = is_over(since.max(largest.taken_at.get()), STUCK_BEFORE_OTHERS);
            let is_slow = is_over(since, STUCK) && largest.taken.get() < TOO_LITTLE;
            if is_still || is_slow {
                stuck.push(largest.clone());
            }
        }
        (stuck, next)
    }
}
