use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::{Rc, Weak};
use std::task::Context;

use slab::Slab;

use super::stream::{FrontStream, Handle};
use crate::backend::{Route, Session, SessionEnd, SessionRequest, Sink};
use crate::link::StreamSlot;
use crate::link::connection::LinkConnection;
use crate::link::driver::{Half, LinkStream};
use crate::link::fault::Fault;
use crate::link::notes::Note;
use crate::wire::dc::DcId;
use crate::wire::link::{AnswerKey, EndReason, Frame, Open, OpenRoute};

/// What a link asks its front.
pub(super) trait Owner {
    /// The stream that waits for its client with most, on whichever link it is.
    fn largest(&self) -> Option<Rc<FrontStream>>;

    fn tell_eviction(&self);

    /// A back cannot reach the middle proxies of this DC.
    fn middle_unavailable(&self, dc: DcId);
}

/// One link of a front, and the clients on it.
pub(super) struct FrontLink {
    pub(crate) connection: Rc<LinkConnection>,
    front: Weak<dyn Owner>,
    streams: RefCell<Slab<StreamSlot<FrontStream>>>,
    /// A client has got something through it.
    pub(crate) was_useful: Cell<bool>,
    /// Its back reaches no middle proxies.
    pub(super) lacks_middle: Cell<bool>,
    /// It gets no more streams.
    is_retired: Cell<bool>,
}

impl FrontLink {
    pub(crate) fn new(
        front: Weak<impl Owner + 'static>,
        connection: Rc<LinkConnection>,
    ) -> Rc<Self> {
        Rc::new(Self {
            connection,
            front,
            streams: RefCell::default(),
            was_useful: Cell::new(false),
            lacks_middle: Cell::new(false),
            is_retired: Cell::new(false),
        })
    }

    pub(crate) fn load(&self) -> usize {
        self.streams.borrow().len()
    }

    /// Gets no more streams from now on, and ends with the last that it has.
    pub(crate) fn retire(&self) {
        self.is_retired.set(true);
        self.end_if_done();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    fn end_if_done(&self) {
        if self.is_retired() && self.load() == 0 {
            self.connection.fail(Fault::Shutdown);
        }
    }

    /// Opens a session. What it sends may follow at once.
    pub(crate) fn open(&self, request: SessionRequest, sink: Rc<dyn Sink>) -> Session {
        let mut streams = self.streams.borrow_mut();
        let entry = streams.vacant_entry();
        let number = entry.key() as u32;
        let stream = FrontStream::new(&self.connection, number, request.route, request.dc, sink);
        entry.insert(StreamSlot::Live(stream.clone()));
        drop(streams);
        self.connection.context.metrics.link_streams.inc();
        let open = Box::new(asked(&request));
        self.connection.send(&Frame::Open {
            stream: number,
            open,
        });
        let handle = Box::new(Handle(stream));
        match request.route {
            Route::Middle => Session::Packets(handle),
            Route::Direct => Session::Bytes(handle),
        }
    }

    /// Says the end of a stream. Its number is free when the back has said it too.
    fn leave(&self, number: u32, has_back_ended: bool) {
        let mut streams = self.streams.borrow_mut();
        let gone = match has_back_ended {
            true => streams.try_remove(number as usize),
            false => streams
                .get_mut(number as usize)
                .map(|slot| mem::replace(slot, StreamSlot::Leaving)),
        };
        drop(streams);
        if gone.is_some() {
            self.connection.context.metrics.link_streams.dec();
            let reason = EndReason::ClientLeft;
            self.connection.send(&Frame::End {
                stream: number,
                reason,
            });
        }
        self.end_if_done();
    }

    /// The link is gone: ends every session; how many there were.
    pub(crate) fn lose(&self) -> usize {
        let streams = mem::take(&mut *self.streams.borrow_mut());
        let mut lost = 0;
        for (_, slot) in streams {
            if let StreamSlot::Live(stream) = slot {
                self.connection.context.metrics.link_streams.dec();
                lost += usize::from(stream.end(SessionEnd::LinkLost));
            }
        }
        lost
    }

    /// The stream of this number; `None` if it is over on this side.
    fn find(&self, number: u32) -> Result<Option<Rc<FrontStream>>, Fault> {
        match self.streams.borrow().get(number as usize) {
            Some(StreamSlot::Live(stream)) if !stream.is_over() => Ok(Some(stream.clone())),
            Some(_) => Ok(None),
            None => Err(Fault::Unexpected("a frame for no stream")),
        }
    }

    /// Takes what streams have left since the last turn.
    fn take_notes(&self) -> Result<(), Fault> {
        while let Some(number) = self.connection.next_note() {
            let stream = match self.streams.borrow().get(number as usize) {
                Some(StreamSlot::Live(stream)) => stream.clone(),
                Some(StreamSlot::Leaving) | None => continue,
            };
            if stream.notes().has(Note::Room) {
                stream.retry()?;
            }
            self.leave_if_over(number, &stream);
        }
        Ok(())
    }

    fn leave_if_over(&self, number: u32, stream: &FrontStream) {
        if stream.is_over() {
            self.leave(number, stream.has_back_ended());
        }
    }

    /// The back has said the end of a stream.
    fn ended_by_back(&self, number: u32, reason: EndReason) {
        let stream = match self.streams.borrow().get(number as usize) {
            Some(StreamSlot::Live(stream)) => Some(stream.clone()),
            Some(StreamSlot::Leaving) | None => None,
        };
        match stream {
            Some(stream) => {
                if reason == EndReason::MiddleUnavailable
                    && !stream.is_over()
                    && let Some(front) = self.front.upgrade()
                {
                    front.middle_unavailable(stream.dc());
                }
                stream.ended_by_back(reason);
                self.leave_if_over(number, &stream);
            }
            None => {
                self.streams.borrow_mut().try_remove(number as usize);
                self.end_if_done();
            }
        }
    }

    /// The stream here that waits for its client with most.
    pub(crate) fn largest(&self) -> Option<Rc<FrontStream>> {
        let streams = self.streams.borrow();
        let live = streams.iter().filter_map(|(_, slot)| match slot {
            StreamSlot::Live(stream) if !stream.is_over() => Some(stream),
            _ => None,
        });
        let largest = live.max_by_key(|stream| stream.held());
        largest.filter(|stream| stream.held() > 0).cloned()
    }
}

fn asked(request: &SessionRequest) -> Open {
    let key = &request.to_client;
    Open {
        route: match request.route {
            Route::Middle => OpenRoute::Middle,
            Route::Direct => OpenRoute::Direct(AnswerKey {
                key: key.key,
                iv: key.iv,
            }),
        },
        dc: request.dc,
        transport: request.transport,
        client: request.client,
        local: request.local,
        tag: request.tag,
    }
}

impl Half for FrontLink {
    fn stream(&self, number: u32) -> Result<Option<Rc<dyn LinkStream>>, Fault> {
        Ok(self.find(number)?.map(|stream| stream as _))
    }

    fn frame(&self, frame: Frame) -> Result<(), Fault> {
        match frame {
            Frame::QuickAck { stream, token } => {
                if let Some(stream) = self.find(stream)? {
                    stream.quick_ack(token);
                }
                Ok(())
            }
            Frame::End { stream, reason } => {
                self.find(stream)?;
                self.ended_by_back(stream, reason);
                Ok(())
            }
            Frame::Middle { is_reached } => {
                self.lacks_middle.set(!is_reached);
                Ok(())
            }
            _ => Err(Fault::Unexpected("a front's frame from a back")),
        }
    }

    fn evict_largest(&self) {
        self.was_useful.set(true);
        let share = &self.connection.share;
        while share.with(|whole, _| whole.heaviest().is_some()) {
            let front = self.front.upgrade();
            let largest = match &front {
                Some(front) => front.largest(),
                None => self.largest(),
            };
            let Some(largest) = largest else {
                return;
            };
            if let Some(front) = front {
                front.tell_eviction();
            }
            self.connection.context.metrics.link_evictions.inc();
            largest.evict();
        }
    }

    fn look_again(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        self.take_notes()
    }
}
