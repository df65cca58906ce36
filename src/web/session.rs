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
use super::carrier::{Out, Written};
use super::hosts::Access;
use super::limits::Bucket;
use super::notes::{MAX_NOTES, Note, Notes};
use super::stream::{End, Stream};
use super::{Comer, limits};
use crate::metrics::WebEnd;
use crate::wire::web::frame::{FrameError, FrameReader, Piece, StreamId};
use crate::wire::web::ids::{Ids, Standing};

/// How long a stream's client may take nothing of what waits for it.
const STUCK: Duration = Duration::from_secs(30);

/// The same while it keeps the others from being read.
const STUCK_BEFORE_OTHERS: Duration = Duration::from_secs(4);

/// What it has to take in [`STUCK`] while it keeps the others from being read: 4 KiB/s.
const TOO_LITTLE: u32 = 30 * 4096;

/// What one app has open here.
pub(crate) struct Session {
    pub(super) context: Rc<WebContext>,
    pub(super) comer: Comer,
    /// The secret and the host that it came with.
    pub(super) access: Access,
    state: RefCell<State>,
    /// The task that reads the carrier, or that waits for something to send on it.
    carrier: Cell<Option<Waker>>,
    ended: Cell<Option<WebEnd>>,
    /// When something was last heard of the app.
    pub(super) heard: Cell<Instant>,
}

struct State {
    ids: Ids,
    /// Those that are open, by their ids.
    streams: Vec<Rc<Stream>>,
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
    has_greeted: bool,
}

impl Session {
    /// Bytes that may wait for the clients of one session.
    pub(super) const QUOTA: usize = 128 * 1024;

    /// A client that waits until so much is there is not kept waiting.
    pub(super) const MOST_FOR_ONE: usize = 16 * 1024;

    pub(super) fn new(context: &Rc<WebContext>, comer: Comer, access: Access) -> Rc<Self> {
        let now = context.reactor.now();
        context.metrics.web_sessions.inc();
        Rc::new(Self {
            context: context.clone(),
            comer,
            access,
            state: RefCell::new(State {
                ids: Ids::default(),
                streams: Vec::new(),
                held: 0,
                short_since: None,
                notes: Notes::default(),
                out: Out::None,
                line: VecDeque::new(),
                turn: None,
                openings: Bucket::new(limits::OPENINGS, now),
                has_greeted: false,
            }),
            carrier: Cell::new(None),
            ended: Cell::new(None),
            heard: Cell::new(now),
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
        self.context.metrics.web_ends.inc(reason);
        let streams = {
            let mut state = self.state.borrow_mut();
            state.notes.clear();
            state.line.clear();
            state.turn = None;
            std::mem::take(&mut state.streams)
        };
        for stream in streams {
            stream.end();
        }
        self.wake_carrier();
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
            if state.ids.open(id).is_err() {
                return Err(WebEnd::BadStream);
            }
            let is_full = state.streams.len() >= limits::STREAMS_OF_SESSION
                || !state.openings.take(limits::OPENINGS, now)
                || !self.context.streams.take();
            if is_full {
                self.context.metrics.web_streams_refused.inc();
                state.ids.close(id);
                state.notes.push(Note::Close(id));
                drop(state);
                self.wake_carrier();
                return Ok(());
            }
            let stream = Stream::new(id, now);
            let at = state.place_of(id).unwrap_or_else(|at| at);
            state.streams.insert(at, stream.clone());
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
        let spent = stream.from_app.borrow_mut().spend(length);
        spent.map_err(|_| WebEnd::CreditOverrun)
    }

    fn data(&self, id: StreamId, bytes: &mut [u8]) {
        let mut state = self.state.borrow_mut();
        let Some(stream) = state.find(id) else {
            // It has been closed meanwhile.
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
        state.held += bytes.len();
        drop(state);
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
        match state.ids.standing(id) {
            Standing::Live => Ok(state.find(id)),
            Standing::Closed => Ok(None),
            Standing::Unknown => Err(WebEnd::BadStream),
        }
    }

    /// The app and we know it no more as open.
    fn forget(&self, stream: &Rc<Stream>) {
        let mut state = self.state.borrow_mut();
        if let Ok(at) = state.place_of(stream.id) {
            state.streams.remove(at);
            state.ids.close(stream.id);
        }
        state.leave_line(stream);
        if state.pass_turn() {
            self.wake_carrier();
        }
    }

    // --- room for it

    /// Bytes that may be read from the carrier now; pending without room for any.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state.borrow_mut();
        let room = Self::QUOTA.saturating_sub(state.held);
        let is_short = room == 0 || state.notes.len() >= MAX_NOTES;
        if !is_short {
            state.short_since = None;
            // Its waker comes back when there is room.
            return self.context.buffers.poll_free(cx).map(|()| room);
        }
        if state.short_since.is_none() {
            state.short_since = Some(self.context.reactor.now());
            let waiting: Vec<_> = state.streams.clone();
            drop(state);
            for stream in waiting {
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
        let now = self.context.reactor.now();
        stream.taken_at.set(now);
        let length32 = u32::try_from(length).unwrap_or(u32::MAX);
        stream.taken.set(stream.taken.get().saturating_add(length32));
        let grant = {
            let is_idle = stream.queued() == 0;
            stream.from_app.borrow_mut().left(length32, is_idle)
        };
        let mut state = self.state.borrow_mut();
        let was_full = state.held >= Self::QUOTA;
        state.held = state.held.saturating_sub(length);
        let is_told = grant.is_some() && !stream.has_ended.get() && !stream.is_closed.get();
        if let Some(credit) = grant.filter(|_| is_told) {
            state.notes.push(Note::Window(stream.id, credit));
        }
        if is_told || was_full {
            drop(state);
            self.wake_carrier();
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
    pub(super) fn write(
        &self,
        stream: &Rc<Stream>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
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
                let credit = stream.to_app.borrow().left() as usize;
                state.out.write(stream.id, slices, credit, &self.context.buffers)
            }
            Ok(false) => Ok(Written::default()),
            Err(error) => Err(error),
        };
        let written = written.inspect_err(|_| self.wake_carrier())?;
        if written.payload > 0 {
            let spent = u32::try_from(written.payload).unwrap_or(u32::MAX);
            stream.to_app.borrow_mut().spend(spent);
            state.turn = None;
        }
        if state.pass_turn() || !state.out.is_free() {
            // It waits for the way out, and for who has its turn.
            self.wake_carrier();
        }
        Ok(written.payload)
    }

    /// The next write of this stream takes something, or fails.
    pub(super) fn may_write(&self, stream: &Rc<Stream>) -> bool {
        if self.is_over(stream) {
            return true;
        }
        let state = self.state.borrow();
        stream.has_credit()
            && state.is_turn_of(stream)
            && state.notes.is_empty()
            && state.out.is_free()
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
        if let Some((_, looks)) = &mut state.turn {
            *looks += 1;
            if *looks > 2 {
                // It has nothing to say after all.
                state.turn = None;
            }
        }
        if state.pass_turn() || state.turn.is_some() {
            cx.waker().wake_by_ref();
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
        self.context.streams.give_back();
        {
            let mut state = self.state.borrow_mut();
            state.held = state.held.saturating_sub(queued);
            if !stream.has_ended.get() && self.ended.get().is_none() {
                state.notes.push(Note::Close(stream.id));
            }
        }
        self.forget(stream);
        self.wake_carrier();
    }

    fn is_over(&self, stream: &Stream) -> bool {
        self.ended.get().is_some() || stream.has_ended.get() || stream.is_closed.get()
    }

    // --- its carrier

    /// Frames go this way from here on.
    pub(super) fn set_out(&self, out: Out) {
        self.state.borrow_mut().out = out;
        self.wake_carrier();
    }

    /// What looks at, or changes, its way out.
    pub(super) fn with_out<T>(&self, look: impl FnOnce(&mut Out) -> T) -> T {
        look(&mut self.state.borrow_mut().out)
    }

    pub(super) fn park_carrier(&self, waker: &Waker) {
        match self.carrier.take() {
            Some(parked) if parked.will_wake(waker) => self.carrier.set(Some(parked)),
            _ => self.carrier.set(Some(waker.clone())),
        }
    }

    pub(super) fn wake_carrier(&self) {
        if let Some(waker) = self.carrier.take() {
            waker.wake();
        }
    }
}
