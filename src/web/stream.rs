//! One web stream, as its web session and its client see it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::session::Session;
use crate::connection::StreamEnd;
use crate::net::Rope;
use crate::wire::web::{CreditFromApp, CreditToApp, StreamId};

/// What a web session and the client of one of its streams share.
pub(super) struct Stream {
    pub(crate) id: StreamId,
    /// What the app has sent and the client has not read.
    pub(crate) queue: RefCell<Rope>,
    pub(crate) from_app: RefCell<CreditFromApp>,
    pub(crate) to_app: RefCell<CreditToApp>,
    /// The app will send no more.
    pub(crate) has_ended: Cell<bool>,
    /// Its client is gone, or has been told that it is over.
    pub(crate) is_closed: Cell<bool>,
    /// It stands in the queue of those who wait to write.
    pub(crate) is_in_line: Cell<bool>,
    /// When the client took something last, or what it has to take began to come.
    pub(crate) taken_at: Cell<Instant>,
    /// Bytes that it took since others began to wait for it.
    pub(crate) taken: Cell<u32>,
    /// Its client wants to know whether the app is there.
    pub(crate) asks: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
    watcher: Cell<Option<Waker>>,
}

impl Stream {
    pub(crate) fn new(id: StreamId, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            id,
            queue: RefCell::default(),
            from_app: RefCell::default(),
            to_app: RefCell::default(),
            has_ended: Cell::new(false),
            is_closed: Cell::new(false),
            is_in_line: Cell::new(false),
            taken_at: Cell::new(now),
            taken: Cell::new(0),
            asks: Cell::new(false),
            reader: Cell::new(None),
            writer: Cell::new(None),
            watcher: Cell::new(None),
        })
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    /// The app may be sent at least a byte.
    pub(crate) fn has_credit(&self) -> bool {
        self.to_app.borrow().available() > 0
    }

    pub(crate) fn wake_reader(&self) {
        wake(&self.reader);
    }

    pub(crate) fn wake_writer(&self) {
        wake(&self.writer);
    }

    /// Nothing more comes: the client reads what is there, and then its end.
    pub(crate) fn end(&self) {
        self.has_ended.set(true);
        wake(&self.reader);
        wake(&self.writer);
        wake(&self.watcher);
    }
}

pub(super) fn wake(slot: &Cell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

pub(super) fn park(slot: &Cell<Option<Waker>>, waker: &Waker) {
    match slot.take() {
        Some(parked) if parked.will_wake(waker) => slot.set(Some(parked)),
        _ => slot.set(Some(waker.clone())),
    }
}

/// The client's end of a web stream. Dropping it closes the stream.
pub(super) struct End {
    session: Rc<Session>,
    stream: Rc<Stream>,
}

impl End {
    pub(crate) fn new(session: &Rc<Session>, stream: Rc<Stream>) -> Self {
        Self {
            session: session.clone(),
            stream,
        }
    }
}

impl StreamEnd for End {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let stream = &self.stream;
        if stream.is_closed.get() || buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let length = stream.queue.borrow_mut().copy_out(buffer);
        if length > 0 {
            self.session.took(stream, length);
            return Poll::Ready(Ok(length));
        }
        if stream.has_ended.get() {
            return Poll::Ready(Ok(0));
        }
        park(&stream.reader, cx.waker());
        Poll::Pending
    }

    fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        let stream = &self.stream;
        let is_last = stream.has_ended.get() || stream.is_closed.get();
        let queued = stream.queued();
        let is_all = queued > 0 && self.session.is_short();
        if is_last || is_all || queued >= count.min(Session::MOST_FOR_ONE) {
            return Poll::Ready(Ok(()));
        }
        park(&stream.reader, cx.waker());
        Poll::Pending
    }

    fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.has_ended.get() || self.stream.is_closed.get() {
            return Poll::Ready(());
        }
        park(&self.stream.watcher, cx.waker());
        Poll::Pending
    }

    fn is_at_end(&self) -> bool {
        self.stream.is_closed.get() || self.stream.queued() == 0
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.write(&self.stream, slices)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.session.may_write(&self.stream) {
            return Poll::Ready(());
        }
        park(&self.stream.writer, cx.waker());
        self.session.wait_in_line(&self.stream);
        Poll::Pending
    }

    fn close(&self) {
        self.session.close(&self.stream);
    }

    fn ask_peer(&self) -> io::Result<()> {
        self.session.ask_peer(&self.stream)
    }

    fn has_answered(&self) -> bool {
        self.session.has_answered()
    }

    fn let_be(&self) {
        self.session.let_be(&self.stream);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.session.close(&self.stream);
    }
}
