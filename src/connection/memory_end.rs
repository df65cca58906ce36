//! A stream's end in memory, for tests: the app holds the other one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::StreamEnd;

/// Both ends of a new stream, which takes everything for the app until it is
/// [told otherwise](MemoryApp::set_room).
pub(crate) fn memory_stream() -> (Box<dyn StreamEnd>, MemoryApp) {
    let shared = Rc::new(Shared {
        room: Cell::new(usize::MAX),
        ..Shared::default()
    });
    (Box::new(MemoryEnd(shared.clone())), MemoryApp(shared))
}

#[derive(Default)]
struct Shared {
    to_proxy: RefCell<VecDeque<u8>>,
    /// The app has closed it.
    ended: Cell<bool>,
    to_app: RefCell<VecDeque<u8>>,
    /// Bytes that are still taken for the app.
    room: Cell<usize>,
    /// The proxy has closed it; how often.
    closed: Cell<usize>,
    read: Cell<Option<Waker>>,
    hung_up: Cell<Option<Waker>>,
    write: Cell<Option<Waker>>,
    app: Cell<Option<Waker>>,
    /// Whether its carrier can be asked, and answers; how often it is asked now.
    is_askable: Cell<bool>,
    answers: Cell<bool>,
    asked: Cell<usize>,
}

/// The app's end.
pub(crate) struct MemoryApp(Rc<Shared>);

struct MemoryEnd(Rc<Shared>);

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl MemoryApp {
    pub(crate) fn send(&self, data: &[u8]) {
        self.0.to_proxy.borrow_mut().extend(data);
        wake(&self.0.read);
    }

    /// Closes it, behind what was sent.
    pub(crate) fn close(&self) {
        self.0.ended.set(true);
        for waker in [&self.0.read, &self.0.hung_up, &self.0.write] {
            wake(waker);
        }
    }

    /// How many bytes are taken for it from here on.
    pub(crate) fn set_room(&self, room: usize) {
        self.0.room.set(room);
        wake(&self.0.write);
    }

    /// Bytes that the proxy has not read.
    pub(crate) fn unread(&self) -> usize {
        self.0.to_proxy.borrow().len()
    }

    /// What is there, or will be; 0 once the proxy has closed it.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> usize {
        poll_fn(|cx| {
            let mut to_app = self.0.to_app.borrow_mut();
            let length = to_app.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(to_app.drain(..length)) {
                *to = from;
            }
            if length > 0 || self.is_closed() {
                return Poll::Ready(length);
            }
            self.0.app.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// From here on its carrier can be asked, and answers or not.
    pub(crate) fn set_askable(&self, answers: bool) {
        self.0.is_askable.set(true);
        self.0.answers.set(answers);
    }

    /// How many ask its carrier at the moment.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.get()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.get() > 0
    }

    /// How often the proxy has closed it, by whatever way.
    pub(crate) fn closes(&self) -> usize {
        self.0.closed.get()
    }
}

impl Drop for MemoryApp {
    fn drop(&mut self) {
        self.close();
    }
}

impl StreamEnd for MemoryEnd {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let shared = &self.0;
        let mut to_proxy = shared.to_proxy.borrow_mut();
        if to_proxy.is_empty() && !shared.ended.get() {
            shared.read.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let length = to_proxy.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(to_proxy.drain(..length)) {
            *to = from;
        }
        Poll::Ready(Ok(length))
    }

    fn poll_filled(&self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<()>> {
        if self.0.ended.get() || self.0.to_proxy.borrow().len() >= count {
            return Poll::Ready(Ok(()));
        }
        self.0.read.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.ended.get() {
            return Poll::Ready(());
        }
        self.0.hung_up.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn is_at_end(&self) -> bool {
        self.0.to_proxy.borrow().is_empty()
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let shared = &self.0;
        assert!(shared.closed.get() == 0, "a write to what was closed");
        if shared.ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let length = slice.len().min(shared.room.get());
            shared.room.set(shared.room.get() - length);
            let taken = slice.get(..length).unwrap_or_default();
            shared.to_app.borrow_mut().extend(taken);
            written += length;
        }
        if written > 0 {
            wake(&shared.app);
        }
        Ok(written)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.room.get() > 0 || self.0.ended.get() {
            return Poll::Ready(());
        }
        self.0.write.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn close(&self) {
        self.0.closed.set(self.0.closed.get() + 1);
        self.0.asked.set(0);
        wake(&self.0.app);
    }

    fn ask_peer(&self) -> io::Result<()> {
        self.0.asked.set(self.0.asked.get() + 1);
        match self.0.is_askable.get() {
            true => Ok(()),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn has_answered(&self) -> bool {
        self.0.answers.get()
    }

    fn let_be(&self) {
        assert!(self.0.asked.get() > 0, "let be, and not asked");
        self.0.asked.set(self.0.asked.get() - 1);
    }
}

impl Drop for MemoryEnd {
    fn drop(&mut self) {
        if self.0.closed.get() == 0 {
            self.close();
        }
    }
}
