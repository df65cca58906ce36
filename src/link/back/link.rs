use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use smol_mtproxy_ciphers::StreamKey;

use super::fronts::Fronts;
use super::signal::Signal;
use super::stream::BackStream;
use super::wish::{UnderWay, Wish};
use crate::backend::{Backend, Route, Session, SessionRequest};
use crate::link::Place;
use crate::link::connection::Connection;
use crate::link::driver::{LinkStream, Side};
use crate::link::fault::Fault;
use crate::link::window::{Coming, Scarce};
use crate::wire::link::{EndReason, Frame, Open, OpenRoute};

/// The largest number of a stream.
const MAX_STREAM: u32 = 1 << 18;

/// One link of a back, and the sessions on it.
pub(super) struct BackLink {
    pub connection: Rc<Connection>,
    backend: Rc<dyn Backend>,
    pub fronts: Rc<Fronts>,
    /// By number.
    streams: RefCell<HashMap<u32, Place<BackStream>>>,
    /// Whose sessions have ended and are to be dropped.
    finished: RefCell<Vec<Rc<BackStream>>>,
    /// Numbers of streams whose sessions take no more for now, each once.
    stalled: RefCell<Vec<u32>>,
    room: Arc<Signal>,
    room_waker: Waker,
    /// Large packets that wait for others to come, in order.
    wishes: RefCell<VecDeque<Wish>>,
    /// One of them may have what it waits for.
    may_have_wish: Cell<bool>,
    /// Large packets that need not wait.
    pub coming: RefCell<Coming>,
    /// Numbers of streams with a packet that takes buffers as it comes, each once.
    large: RefCell<Vec<u32>>,
    buffers: Arc<Signal>,
    buffers_waker: Waker,
}

impl BackLink {
    pub fn new(
        backend: Rc<dyn Backend>,
        fronts: &Rc<Fronts>,
        connection: Rc<Connection>,
    ) -> Rc<Self> {
        let room = Arc::<Signal>::default();
        let buffers = Arc::<Signal>::default();
        Rc::new(Self {
            connection,
            backend,
            fronts: fronts.clone(),
            streams: RefCell::default(),
            finished: RefCell::default(),
            stalled: RefCell::default(),
            room_waker: Waker::from(room.clone()),
            room,
            wishes: RefCell::default(),
            may_have_wish: Cell::new(false),
            coming: RefCell::default(),
            large: RefCell::default(),
            buffers_waker: Waker::from(buffers.clone()),
            buffers,
        })
    }

    /// What wakes the streams that are [`stalled`](Self::stall).
    pub fn room_waker(&self) -> &Waker {
        &self.room_waker
    }

    /// What wakes those with a large packet that takes buffers as it comes.
    pub fn buffers_waker(&self) -> &Waker {
        &self.buffers_waker
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
        let mut wishes = self.wishes.borrow_mut();
        wishes.retain(|wish| wish.number != number);
        drop(wishes);
        self.forget_large(number);
    }

    /// The large packet of a stream is here.
    pub fn forget_large(&self, number: u32) {
        self.large.borrow_mut().retain(|other| *other != number);
    }

    /// A packet of a stream wants buffers.
    pub fn reserve(&self, wish: Wish) {
        self.wishes.borrow_mut().push_back(wish);
        self.look_for_wishes();
    }

    /// What a wish waits for may be there.
    pub fn look_for_wishes(&self) {
        self.may_have_wish.set(true);
        self.connection.look_again();
    }

    /// Windows do not grow while so much waits for Telegram.
    pub fn is_crowded(&self) -> bool {
        self.connection.account.with(|whole, _| whole.is_crowded())
    }

    /// The link is gone: drops every session; how many there were.
    pub fn lose(&self) -> usize {
        let streams = self.streams.take();
        self.stalled.take();
        self.wishes.take();
        self.large.take();
        self.free_numbers(streams.len());
        let mut lost = 0;
        for place in streams.into_values() {
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

    /// What all streams here hold.
    pub fn held(&self) -> usize {
        let streams = self.streams.borrow();
        live(&streams).map(|stream| stream.held()).sum()
    }

    /// The stream here that holds most.
    pub fn largest(&self) -> Option<Rc<BackStream>> {
        let streams = self.streams.borrow();
        let largest = live(&streams).max_by_key(|stream| stream.held());
        largest.filter(|stream| stream.held() > 0).cloned()
    }

    /// The stream here that came last, more or less, of those that have a `place`.
    pub fn newest(&self, place: Scarce) -> Option<Rc<BackStream>> {
        let streams = self.streams.borrow();
        let having = live(&streams).filter(|stream| stream.has(place));
        having.max_by_key(|stream| stream.flow.number).cloned()
    }

    fn free_numbers(&self, count: usize) {
        let account = &self.connection.account;
        account.with(|whole, user| whole.free_numbers(user, count));
    }

    fn open(self: &Rc<Self>, number: u32, open: Open) -> Result<(), Fault> {
        if number >= MAX_STREAM {
            return Err(Fault::Unexpected("too many streams"));
        }
        if self.streams.borrow().contains_key(&number) {
            return Err(Fault::Unexpected("a second opening of a stream"));
        }
        let account = &self.connection.account;
        if !account.with(|whole, user| whole.take_number(user)) {
            return Err(Fault::Unexpected(
                "a front that never says that streams end",
            ));
        }
        let is_line = open.route != OpenRoute::Middle;
        let has_place = (!is_line || self.fronts.admit(account, Scarce::Line))
            && self.fronts.admit(account, Scarce::Stream);
        let mut streams = self.streams.borrow_mut();
        if !has_place {
            streams.insert(number, Place::Leaving);
            drop(streams);
            self.say_end(number, EndReason::NoConnection);
            return Ok(());
        }
        let stream = BackStream::new(self, number, &open);
        streams.insert(number, Place::Live(stream.clone()));
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
        if let Entry::Occupied(mut entry) = streams.entry(number)
            && let Place::Live(stream) = mem::replace(entry.get_mut(), Place::Leaving)
        {
            self.finished.borrow_mut().push(stream);
            self.connection.look_again();
        }
        drop(streams);
        self.say_end(number, reason);
    }

    fn say_end(&self, stream: u32, reason: EndReason) {
        self.connection.send(&Frame::End { stream, reason });
    }

    /// The front has said the end of a stream.
    fn ended_by_front(self: &Rc<Self>, number: u32) -> Result<(), Fault> {
        let stream = self.find(number)?;
        self.streams.borrow_mut().remove(&number);
        self.free_numbers(1);
        if let Some(stream) = stream {
            stream.drop_session();
            self.say_end(number, EndReason::ClientLeft);
        }
        Ok(())
    }

    /// Lets the packets come that may.
    fn grant_wishes(self: &Rc<Self>) {
        while self.may_have_wish.take() {
            let account = &self.connection.account;
            let limit = account.with(|whole, user| whole.coming_limit(user));
            let coming = self.coming.borrow();
            let mut wishes = self.wishes.borrow_mut();
            wishes.retain(|wish| wish.stream().is_some());
            let mut waiting = wishes.iter();
            let welcome = waiting.position(|wish| coming.may_come(wish.to, wish.len, limit));
            let Some(wish) = welcome.and_then(|at| wishes.remove(at)) else {
                return;
            };
            drop((coming, wishes));
            self.may_have_wish.set(true);
            if let Some(stream) = wish.stream() {
                self.large.borrow_mut().push(wish.number);
                stream.may_come(UnderWay::new(self, &wish));
            }
        }
    }

    pub fn live(&self, number: u32) -> Option<Rc<BackStream>> {
        self.find(number).ok().flatten()
    }

    /// The stream of this number; `None` if it is over on this side.
    fn find(&self, number: u32) -> Result<Option<Rc<BackStream>>, Fault> {
        match self.streams.borrow().get(&number) {
            Some(Place::Live(stream)) => Ok(Some(stream.clone())),
            Some(Place::Leaving) => Ok(None),
            None => Err(Fault::Unexpected("a frame for no stream")),
        }
    }
}

fn live(streams: &HashMap<u32, Place<BackStream>>) -> impl Iterator<Item = &Rc<BackStream>> {
    streams.values().filter_map(|place| match place {
        Place::Live(stream) => Some(stream),
        Place::Leaving => None,
    })
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
        self.fronts.relieve();
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
        self.buffers.set_task(cx.waker());
        if self.buffers.take() {
            let large = self.large.borrow().clone();
            for number in large {
                if let Some(stream) = self.live(number) {
                    stream.find_room();
                }
            }
        }
        self.grant_wishes();
        Ok(())
    }

    fn tick(&self) {
        for stream in live(&self.streams.borrow()) {
            stream.rest();
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
