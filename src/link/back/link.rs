use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use smol_mtproxy_ciphers::StreamKey;

use super::signal::Signal;
use super::stream::BackStream;
use crate::backend::{Backend, Route, Session, SessionRequest};
use crate::link::Place;
use crate::link::connection::Connection;
use crate::link::driver::{LinkStream, Side};
use crate::link::fault::Fault;
use crate::net::{Reservation, User};
use crate::wire::link::{EndReason, Frame, Open, OpenRoute};

/// The largest number of a stream.
const MAX_STREAM: u32 = 1 << 18;

/// One link of a back, and the sessions on it.
pub(super) struct BackLink {
    pub connection: Rc<Connection>,
    backend: Rc<dyn Backend>,
    /// By number.
    streams: RefCell<Vec<Option<Place<BackStream>>>>,
    /// Whose sessions have ended and are to be dropped.
    finished: RefCell<Vec<Rc<BackStream>>>,
    /// Numbers of streams whose sessions take no more for now, each once.
    stalled: RefCell<Vec<u32>>,
    room: Arc<Signal>,
    room_waker: Waker,
    /// Streams that wait for the buffers of a large packet, in order.
    reserving: RefCell<VecDeque<Wish>>,
    reservation: RefCell<Option<Reserving>>,
    held: Rc<Cell<usize>>,
}

/// A packet that wants buffers.
#[derive(Clone)]
struct Wish {
    stream: Weak<BackStream>,
    number: u32,
    /// Which of the stream's packets.
    packet: u32,
    len: usize,
}

type Reserving = Pin<Box<dyn Future<Output = Option<Reservation>>>>;

impl BackLink {
    pub fn new(
        backend: Rc<dyn Backend>,
        held: Rc<Cell<usize>>,
        connection: Rc<Connection>,
    ) -> Rc<Self> {
        let room = Arc::<Signal>::default();
        Rc::new(Self {
            connection,
            backend,
            streams: RefCell::default(),
            finished: RefCell::default(),
            stalled: RefCell::default(),
            room_waker: Waker::from(room.clone()),
            room,
            reserving: RefCell::default(),
            reservation: RefCell::default(),
            held,
        })
    }

    /// What wakes the streams that are [`stalled`](Self::stall).
    pub fn room_waker(&self) -> &Waker {
        &self.room_waker
    }

    pub fn stall(&self, number: u32) {
        self.stalled.borrow_mut().push(number);
    }

    /// The stream of this number is gone: it waits for nothing any more.
    pub fn forget(&self, number: u32) {
        if self.live(number).is_some() {
            // The number has another one already.
            return;
        }
        self.stalled.borrow_mut().retain(|other| *other != number);
        let mut reserving = self.reserving.borrow_mut();
        if reserving.front().is_some_and(|wish| wish.number == number) {
            // What is under way is for that wish.
            self.reservation.take();
            self.connection.look_again();
        }
        reserving.retain(|wish| wish.number != number);
    }

    /// Wants buffers for a packet.
    pub fn reserve(&self, number: u32, packet: u32, len: usize) {
        if let Some(stream) = self.live(number) {
            self.reserving.borrow_mut().push_back(Wish {
                stream: Rc::downgrade(&stream),
                number,
                packet,
                len,
            });
            self.connection.look_again();
        }
    }

    /// Windows do not grow while so much waits for Telegram.
    pub fn is_crowded(&self) -> bool {
        self.held.get() > self.connection.context.hold_limit() / 4
    }

    pub fn hold(&self, count: usize) {
        self.held.set(self.held.get() + count);
    }

    pub fn unhold(&self, count: usize) {
        self.held.set(self.held.get() - count);
    }

    /// The link is gone: drops every session; how many there were.
    pub fn lose(&self) -> usize {
        let streams = self.streams.take();
        self.stalled.take();
        self.reserving.take();
        self.reservation.take();
        let mut lost = 0;
        for place in streams.into_iter().flatten() {
            if let Place::Live(stream) = place {
                lost += 1;
                stream.drop_session();
            }
        }
        for stream in self.finished.take() {
            stream.drop_session();
        }
        lost
    }

    fn open(self: &Rc<Self>, number: u32, open: Open) -> Result<(), Fault> {
        if number >= MAX_STREAM {
            return Err(Fault::Unexpected("too many streams"));
        }
        let mut streams = self.streams.borrow_mut();
        let index = number as usize;
        if streams.len() <= index {
            streams.resize_with(index + 1, || None);
        }
        let Some(place @ None) = streams.get_mut(index) else {
            return Err(Fault::Unexpected("a second opening of a stream"));
        };
        let stream = BackStream::new(self, number, &open);
        *place = Some(Place::Live(stream.clone()));
        drop(streams);
        let is_quick = open.route == OpenRoute::Middle;
        let request = request(open);
        let mut opening = Box::pin(open_session(self.backend.clone(), request, stream.clone()));
        // Where a connection is there, so is the session: no task is needed,
        // and what the client sent need not be kept for it.
        let mut cx = Context::from_waker(Waker::noop());
        if !is_quick || opening.as_mut().poll(&mut cx).is_pending() {
            let executor = &self.connection.context.executor;
            stream.set_task(executor.spawn(opening));
        }
        Ok(())
    }

    /// Says the end of a stream; its number is free when the front has too. Its
    /// session goes as soon as nobody is inside it.
    pub fn leave(&self, number: u32, reason: EndReason) {
        let mut streams = self.streams.borrow_mut();
        let place = streams.get_mut(number as usize).and_then(Option::as_mut);
        if let Some(place) = place
            && let Place::Live(stream) = mem::replace(place, Place::Leaving)
        {
            self.finished.borrow_mut().push(stream);
            self.connection.look_again();
        }
        drop(streams);
        self.connection.send(&Frame::End {
            stream: number,
            reason,
        });
    }

    /// The front has said the end of a stream.
    fn ended_by_front(self: &Rc<Self>, number: u32) -> Result<(), Fault> {
        let stream = self.find(number)?;
        if let Some(place) = self.streams.borrow_mut().get_mut(number as usize) {
            *place = None;
        }
        if let Some(stream) = stream {
            stream.drop_session();
            self.connection.send(&Frame::End {
                stream: number,
                reason: EndReason::ClientLeft,
            });
        }
        Ok(())
    }

    fn poll_reservations(&self, cx: &mut Context<'_>) {
        loop {
            let Some(wish) = self.reserving.borrow().front().cloned() else {
                return;
            };
            let stream = wish.stream.upgrade();
            let Some(stream) = stream.filter(|stream| stream.is_waiting_for(wish.packet)) else {
                self.reservation.take();
                self.reserving.borrow_mut().pop_front();
                continue;
            };
            let mut current = self.reservation.borrow_mut();
            let reserving = current.get_or_insert_with(|| {
                let buffers = self.connection.context.buffers.clone();
                Box::pin(async move { buffers.reserve(User(0), wish.len).await })
            });
            let Poll::Ready(reservation) = reserving.as_mut().poll(cx) else {
                return;
            };
            *current = None;
            drop(current);
            self.reserving.borrow_mut().pop_front();
            match reservation {
                Some(reservation) => stream.reserved(reservation, wish.len),
                None => stream.finish(EndReason::NoConnection),
            }
        }
    }

    fn live(&self, number: u32) -> Option<Rc<BackStream>> {
        self.find(number).ok().flatten()
    }

    /// The stream of this number; `None` if it is over on this side.
    fn find(&self, number: u32) -> Result<Option<Rc<BackStream>>, Fault> {
        match self.streams.borrow().get(number as usize) {
            Some(Some(Place::Live(stream))) => Ok(Some(stream.clone())),
            Some(Some(Place::Leaving)) => Ok(None),
            _ => Err(Fault::Unexpected("a frame for no stream")),
        }
    }
}

async fn open_session(backend: Rc<dyn Backend>, request: SessionRequest, stream: Rc<BackStream>) {
    match backend.open(request, stream.clone()).await {
        Ok(Session::Packets(session)) => stream.opened(session),
        Ok(Session::Line(line)) => super::line::start(&stream, line),
        // No backend of this process has one.
        Ok(Session::Bytes(_)) => stream.finish(EndReason::NoConnection),
        Err(error) => stream.refused(error),
    }
}

fn request(open: Open) -> SessionRequest {
    let (route, to_client) = match open.route {
        OpenRoute::Direct(material) => (
            Route::Direct,
            StreamKey {
                key: material.key,
                iv: material.iv,
            },
        ),
        // The front encrypts what comes from middle proxies.
        OpenRoute::Middle => (
            Route::Middle,
            StreamKey {
                key: [0; 32],
                iv: [0; 16],
            },
        ),
    };
    SessionRequest {
        route,
        // What the front's client may do instead is not known here.
        has_other_route: false,
        dc: open.dc,
        client: open.client,
        local: open.local,
        tag: open.tag,
        transport: open.transport,
        to_client,
    }
}

impl Side for Rc<BackLink> {
    fn stream(&self, number: u32) -> Result<Option<Rc<dyn LinkStream>>, Fault> {
        Ok(self.find(number)?.map(|stream| stream as _))
    }

    fn frame(&self, frame: Frame) -> Result<(), Fault> {
        match frame {
            Frame::Open { stream, open } => self.open(stream, *open),
            Frame::End { stream, .. } => self.ended_by_front(stream),
            _ => Err(Fault::Unexpected("a back's frame from a front")),
        }
    }

    fn relieve(&self) {
        let context = &self.connection.context;
        while self.held.get() > context.hold_limit() {
            let streams = self.streams.borrow();
            let live = streams.iter().flatten().filter_map(|place| match place {
                Place::Live(stream) => Some(stream),
                Place::Leaving => None,
            });
            let worst = live.max_by_key(|stream| stream.held());
            let Some(worst) = worst.filter(|stream| stream.held() > 0).cloned() else {
                return;
            };
            drop(streams);
            context.metrics.link_evictions.inc();
            worst.finish(EndReason::TooSlow);
            worst.drop_session();
        }
    }

    fn look_again(&self, cx: &mut Context<'_>) -> Result<(), Fault> {
        for stream in self.finished.take() {
            stream.drop_session();
        }
        self.room.set_task(cx.waker());
        if self.room.take() {
            for number in self.stalled.take() {
                if let Some(stream) = self.live(number) {
                    stream.settle();
                }
            }
        }
        self.poll_reservations(cx);
        Ok(())
    }

    fn tick(&self) {
        for place in self.streams.borrow().iter().flatten() {
            if let Place::Live(stream) = place {
                stream.rest();
            }
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
