//! What an app sends, and how much of it may wait for clients that are slow to take it.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::super::limits;
use super::super::notes::{MAX_NOTES, Note};
use super::super::stream::{End, Stream};
use super::{Session, State};
use crate::metrics::WebEnd;
use crate::wire::web::{FrameReader, Piece, StreamId};

/// How long a stream's client may take nothing of what waits for it.
const STUCK: Duration = Duration::from_secs(30);

/// The same while it keeps the others from being read.
const STUCK_BEFORE_OTHERS: Duration = Duration::from_secs(4);

/// What it has to take in [`STUCK`] while it keeps the others from being read: 4 KiB/s.
const TOO_LITTLE: u32 = 30 * 4096;

impl Session {
    /// Goes on with frames that the app has sent, all of `input`.
    pub(in crate::web) fn receive(
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
            let is_full = self.context.is_closed.get()
                || state.streams.len() >= limits::STREAMS_OF_SESSION
                || state.ends >= limits::ENDS_OF_SESSION
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
            state.ends += 1;
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
    pub(super) fn forget(&self, stream: &Rc<Stream>) {
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

    /// Bytes that may be read from the carrier now; pending without room for any.
    pub(in crate::web) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
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
    pub(in crate::web) fn is_short(&self) -> bool {
        self.state.borrow().short_since.is_some()
    }

    /// The client of a stream has taken `length` bytes out of its queue.
    pub(in crate::web) fn took(&self, stream: &Rc<Stream>, length: usize) {
        stream.taken_at.set(self.context.reactor.now());
        let taken = u32::try_from(length).unwrap_or(u32::MAX);
        stream.taken.set(stream.taken.get().saturating_add(taken));
        let is_over = self.is_over(stream);
        let grant = {
            let mut credit = stream.from_app.borrow_mut();
            let worth_it = credit.left(length);
            match worth_it {
                _ if is_over => None,
                None if stream.queued() == 0 => credit.idle(),
                grant => grant,
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
            self.wake_reader();
        }
    }

    /// Closes streams whose clients take too little; gives when to look again.
    pub(in crate::web) fn close_stuck(&self) -> Option<Instant> {
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
}

impl State {
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
