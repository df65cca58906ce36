use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::{Rc, Weak};
use std::task::Context;

use slab::Slab;

use super::Front;
use super::stream::{FrontStream, Handle};
use crate::backend::{Route, Session, SessionEnd, SessionRequest, Sink};
use crate::link::Place;
use crate::link::connection::Connection;
use crate::link::driver::{LinkStream, Side};
use crate::link::fault::Fault;
use crate::wire::dc::DcId;
use crate::wire::link::{EndReason, Frame, KeyMaterial, Open, OpenRoute};

/// One link of a front, and the clients on it.
pub(super) struct FrontLink {
    pub connection: Rc<Connection>,
    front: Weak<Front>,
    streams: RefCell<Slab<Place<FrontStream>>>,
    /// Streams whose clients have room again.
    roomy: RefCell<Vec<Rc<FrontStream>>>,
    /// A client has got something through it.
    pub was_useful: Cell<bool>,
    /// It gets no more streams.
    is_retired: Cell<bool>,
}

impl FrontLink {
    pub fn new(front: Weak<Front>, connection: Rc<Connection>) -> Rc<Self> {
        Rc::new(Self {
            connection,
            front,
            streams: RefCell::default(),
            roomy: RefCell::default(),
            was_useful: Cell::new(false),
            is_retired: Cell::new(false),
        })
    }

    pub fn load(&self) -> usize {
        self.streams.borrow().len()
    }

    /// Gets no more streams from now on, and ends with the last that it has.
    pub fn retire(&self) {
        self.is_retired.set(true);
        self.end_if_done();
    }

    pub fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    fn end_if_done(&self) {
        if self.is_retired() && self.load() == 0 {
            self.connection.fail(Fault::Shutdown);
        }
    }

    /// Opens a session. What it sends may follow at once.
    pub fn open(self: &Rc<Self>, request: SessionRequest, sink: Rc<dyn Sink>) -> Session {
        let mut streams = self.streams.borrow_mut();
        let entry = streams.vacant_entry();
        let number = entry.key() as u32;
        let stream = FrontStream::new(self, number, request.route, request.dc, sink);
        entry.insert(Place::Live(stream.clone()));
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

    /// The client's task looks at this stream again.
    pub fn has_room(&self, stream: &Rc<FrontStream>) {
        self.roomy.borrow_mut().push(stream.clone());
        self.connection.look_again();
    }

    /// Says the end of a stream; its number is free when the back has too.
    pub fn leave(&self, number: u32, has_back_ended: bool) {
        let mut streams = self.streams.borrow_mut();
        let gone = match has_back_ended {
            true => streams.try_remove(number as usize),
            false => streams
                .get_mut(number as usize)
                .map(|place| mem::replace(place, Place::Leaving)),
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
    pub fn lose(&self) -> usize {
        let streams = mem::take(&mut *self.streams.borrow_mut());
        self.roomy.take();
        let mut lost = 0;
        for (_, place) in streams {
            if let Place::Live(stream) = place {
                lost += 1;
                self.connection.context.metrics.link_streams.dec();
                stream.end(SessionEnd::LinkLost);
            }
        }
        lost
    }

    /// The stream of this number; `None` if it is over on this side.
    fn find(&self, number: u32) -> Result<Option<Rc<FrontStream>>, Fault> {
        match self.streams.borrow().get(number as usize) {
            Some(Place::Live(stream)) => Ok(Some(stream.clone())),
            Some(Place::Leaving) => Ok(None),
            None => Err(Fault::Unexpected("a frame for no stream")),
        }
    }

    pub fn middle_unavailable(&self, dc: DcId) {
        if let Some(front) = self.front.upgrade() {
            front.middle_unavailable(dc);
        }
    }

    /// Windows do not grow while so much waits for slow clients.
    pub fn is_crowded(&self) -> bool {
        self.connection.account.with(|whole, _| whole.is_crowded())
    }

    /// The stream here that waits for its client with most.
    pub fn largest(&self) -> Option<Rc<FrontStream>> {
        let streams = self.streams.borrow();
        let live = streams.iter().filter_map(|(_, place)| match place {
            Place::Live(stream) => Some(stream),
            Place::Leaving => None,
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
            Route::Direct => OpenRoute::Direct(KeyMaterial {
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

impl Side for FrontLink {
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
                match self.find(stream)? {
                    Some(stream) => stream.ended_by_back(reason),
                    None => {
                        self.streams.borrow_mut().try_remove(stream as usize);
                        self.end_if_done();
                    }
                }
                Ok(())
            }
            _ => Err(Fault::Unexpected("a front's frame from a back")),
        }
    }

    fn relieve(&self) {
        let account = &self.connection.account;
        while account.with(|whole, _| whole.heaviest().is_some()) {
            // On whichever link it is.
            let front = self.front.upgrade();
            let largest = match &front {
                Some(front) => front.largest_stream(),
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
        for stream in self.roomy.take() {
            stream.retry()?;
        }
        Ok(())
    }
}
