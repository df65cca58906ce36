use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::backend::{
    Backend, Body, OpenError, Packet, PendingSession, Session, SessionRequest, Sink, Stream,
};
use crate::connection::OnTrial;
use crate::net::Notify;

/// A [`Backend`] that does what a test tells it.
#[derive(Default)]
pub(crate) struct Telegram {
    /// How the next sessions open; packets when there is nothing here.
    pub(crate) answers: RefCell<VecDeque<Answer>>,
    pub(crate) opened: RefCell<Vec<Opened>>,
    /// It says that what comes went out from here.
    pub(crate) is_circle: Cell<bool>,
}

pub(crate) enum Answer {
    /// None before this.
    Upon(Rc<Notify>),
    Fail(OpenError),
    Bytes,
    Line(OnTrial),
}

#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) request: SessionRequest,
    pub(crate) sink: Rc<dyn Sink>,
    pub(crate) script: Rc<Script>,
}

/// The state of one session.
#[derive(Default)]
pub(crate) struct Script {
    /// Quick-ack flag and payload of what the client sent.
    pub(crate) pushed: RefCell<Vec<(bool, Vec<u8>)>>,
    /// How many of them came in chunks.
    pub(crate) ropes: Cell<usize>,
    pub(crate) is_full: Cell<bool>,
    pub(crate) resumed: Cell<usize>,
    pub(crate) closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Telegram {
    /// The only session so far.
    pub(crate) fn session(&self) -> Opened {
        let opened = self.opened.borrow();
        assert_eq!(opened.len(), 1);
        opened[0].clone()
    }
}

impl Backend for Telegram {
    fn open(&self, request: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_> {
        let answer = self.answers.borrow_mut().pop_front();
        let script = Rc::<Script>::default();
        self.opened.borrow_mut().push(Opened {
            request,
            sink,
            script: script.clone(),
        });
        Box::pin(async move {
            if let Some(Answer::Upon(event)) = &answer {
                event.changed().await;
            }
            let stream = Box::new(ScriptedStream(script));
            match answer {
                None | Some(Answer::Upon(_)) => Ok(Session::Packets(stream)),
                Some(Answer::Bytes) => Ok(Session::Bytes(stream)),
                Some(Answer::Line(line)) => Ok(Session::Line(line)),
                Some(Answer::Fail(error)) => Err(error),
            }
        })
    }

    fn is_own(&self, _replay_id: &[u8]) -> bool {
        self.is_circle.get()
    }
}

impl Script {
    pub(crate) fn set_full(&self, is_full: bool) {
        self.is_full.set(is_full);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let pushed = self.pushed.borrow();
        pushed.iter().map(|(_, payload)| payload.clone()).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.payloads().concat()
    }
}

struct ScriptedStream(Rc<Script>);

impl Stream for ScriptedStream {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.0.is_full.get() {
            return Poll::Ready(());
        }
        self.0.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn push(&self, packet: Packet<'_>) {
        let payload = match packet.body {
            Body::Slice(slice) => slice.to_vec(),
            Body::Rope(rope) => {
                self.0.ropes.set(self.0.ropes.get() + 1);
                rope.slices().flatten().copied().collect()
            }
        };
        self.0.pushed.borrow_mut().push((packet.quick_ack, payload));
    }

    fn resume(&self) {
        self.0.resumed.set(self.0.resumed.get() + 1);
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        self.0.closed.set(true);
    }
}
