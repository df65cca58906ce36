use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::desk::Desk;
use super::fronts::{Fronts, Holder};
use super::open_session::{open_session, request};
use super::stream::BackStream;
use super::taker::News;
use super::wish::{UnderWay, Wish};
use crate::backend::Backend;
use crate::link::StreamSlot;
use crate::link::connection::LinkConnection;
use crate::link::driver::{Half, LinkStream};
use crate::link::fault::Fault;
use crate::link::notes::Note;
use crate::wire::link::whole::Scarce;
use crate::wire::link::{EndReason, Frame, Open, OpenRoute};

/// The largest number of a stream.
const MAX_STREAM: u32 = 1 << 18;

const NO_STREAM: Fault = Fault::Unexpected("a frame for no stream");

/// One link of a back, and the sessions on it.
pub(super) struct BackLink {
    pub(crate) connection: Rc<LinkConnection>,
    desk: Rc<Desk>,
    backend: Rc<dyn Backend>,
    fronts: Rc<Fronts>,
    /// By number.
    streams: RefCell<HashMap<u32, StreamSlot<BackStream>>>,
    /// Numbers of streams whose sessions take no more for now, each once.
    stalled: RefCell<Vec<u32>>,
    /// Large packets that wait until others have come, in order.
    wishes: RefCell<VecDeque<Wish>>,
    /// Numbers of streams with a packet that takes buffers as it comes, each once.
    large: RefCell<Vec<u32>>,
    /// What its front was told last of whether middle proxies are reached; `None`: it is
    /// not told.
    pub(super) said_middle: Cell<Option<bool>>,
}

impl BackLink {
    pub(crate) fn new(
        backend: Rc<dyn Backend>,
        fronts: &Rc<Fronts>,
        connection: Rc<LinkConnection>,
    ) -> Rc<Self> {
        Rc::new(Self {
            desk: Desk::new(connection.clone()),
            connection,
            backend,
            fronts: fronts.clone(),
            streams: RefCell::default(),
            stalled: RefCell::default(),
            wishes: RefCell::default(),
            large: RefCell::default(),
            said_middle: Cell::default(),
        })
    }

    /// The stream of this number is gone: takes it out of all lists.
    fn forget(&self, number: u32) {
        self.stalled.borrow_mut().retain(|other| *other != number);
        self.forget_packet(number);
    }

    /// The large packet of a stream is here, or is given up.
    fn forget_packet(&self, number: u32) {
        self.large.borrow_mut().retain(|other| *other != number);
        let mut wishes = self.wishes.borrow_mut();
        wishes.retain(|wish| wish.number != number);
    }

    /// The link is gone: drops every session; how many there were.
    pub(crate) fn lose(&self) -> usize {
        let streams = self.streams.take();
        self.stalled.take();
        self.wishes.take();
        self.large.take();
        self.free_numbers(streams.len());
        let mut lost = 0;
        for (number, slot) in streams {
            if let StreamSlot::Live(stream) = slot {
                lost += usize::from(!stream.tie.is_over());
                self.drop_session(number, &stream);
            }
        }
        lost
    }

    fn free_numbers(&self, count: usize) {
        let share = &self.connection.share;
        share.with(|whole, user| whole.free_numbers(user, count));
    }

    fn open(&self, number: u32, open: Open) -> Result<(), Fault> {
        if number >= MAX_STREAM {
            return Err(Fault::Unexpected("too many streams"));
        }
        if self.streams.borrow().contains_key(&number) {
            return Err(Fault::Unexpected("a second opening of a stream"));
        }
        let share = &self.connection.share;
        if !share.with(|whole, user| whole.take_number(user)) {
            return Err(Fault::Unexpected(
                "a front that never says that streams end",
            ));
        }
        self.tell_middle();
        let is_line = open.route != OpenRoute::Middle;
        let has_place = (!is_line || self.fronts.may_take(share, Scarce::Line))
            && self.fronts.may_take(share, Scarce::Stream);
        let mut streams = self.streams.borrow_mut();
        if !has_place {
            streams.insert(number, StreamSlot::Leaving);
            drop(streams);
            self.say_end(number, EndReason::NoConnection);
            return Ok(());
        }
        let stream = BackStream::new(&self.desk, number, &open);
        streams.insert(number, StreamSlot::Live(stream.clone()));
        drop(streams);
        let is_quick = open.route == OpenRoute::Middle;
        let request = request(open);
        let mut opening = Box::pin(open_session(self.backend.clone(), request, stream.clone()));
        // If there is a connection to the DC, the session is open with the first poll: no
        // task is needed, and what the client sent need not be kept.
        let mut cx = Context::from_waker(Waker::noop());
        if !is_quick || opening.as_mut().poll(&mut cx).is_pending() {
            let executor = &self.connection.context.executor;
            stream.set_task(Some(executor.spawn(opening)));
        }
        Ok(())
    }

    /// Tells the front whether middle proxies are reached, if it has heard another thing.
    fn tell_middle(&self) {
        let has_middle = self.backend.has_middle();
        if self.said_middle.get() == Some(!has_middle) {
            self.said_middle.set(Some(has_middle));
            self.connection.send(&Frame::Middle {
                is_reached: has_middle,
            });
        }
    }

    /// Says the end of a stream and drops its session. Its number is free when the front
    /// has said the end too. Not to be called from inside of that stream.
    fn leave(&self, number: u32, reason: EndReason) {
        let mut streams = self.streams.borrow_mut();
        if let Entry::Occupied(mut entry) = streams.entry(number)
            && let StreamSlot::Live(stream) = mem::replace(entry.get_mut(), StreamSlot::Leaving)
        {
            drop(streams);
            let said = self.drop_session(number, &stream);
            self.say_end(number, said.unwrap_or(reason));
        }
    }

    /// Drops the session of a stream that has just lost its slot. Returns why the session
    /// has ended by itself, if it has and the front was not told.
    fn drop_session(&self, number: u32, stream: &BackStream) -> Option<EndReason> {
        let (end, lost) = stream.tie.cut();
        if let Some(reason) = lost {
            self.fronts.revoked(&self.connection.share, reason);
        }
        let has_packet = stream.tie.flow.notes().has(Note::Came);
        if stream.drop_session() || has_packet {
            self.forget(number);
        }
        end
    }

    fn say_end(&self, stream: u32, reason: EndReason) {
        self.connection.send(&Frame::End { stream, reason });
    }

    /// The front has said the end of a stream.
    fn ended_by_front(&self, number: u32) -> Result<(), Fault> {
        let slot = self.streams.borrow_mut().remove(&number);
        let slot = slot.ok_or(NO_STREAM)?;
        self.free_numbers(1);
        if let StreamSlot::Live(stream) = slot {
            let said = self.drop_session(number, &stream);
            self.say_end(number, said.unwrap_or(EndReason::ClientLeft));
        }
        Ok(())
    }

    /// Takes what streams have left since the last turn.
    fn take_notes(&self) {
        while let Some(number) = self.connection.next_note() {
            let stream = match self.streams.borrow().get(&number) {
                Some(StreamSlot::Live(stream)) => stream.clone(),
                Some(StreamSlot::Leaving) | None => continue,
            };
            let notes = stream.tie.flow.notes();
            if notes.has(Note::Came) {
                self.forget_packet(number);
            }
            if notes.has(Note::Stalled) {
                self.stalled.borrow_mut().push(number);
            }
            if notes.has(Note::Wants)
                && let Some(wish) = stream.wish()
            {
                self.wishes.borrow_mut().push_back(wish);
                self.desk.may_have_wish.set(true);
            }
            if notes.has(Note::Left) {
                self.leave(number, EndReason::NoConnection);
            }
        }
    }

    /// Lets large packets come that need not wait any longer.
    fn grant_wishes(&self) {
        while self.desk.may_have_wish.take() {
            let share = &self.connection.share;
            let limit = share.with(|whole, user| whole.coming_limit(user));
            let coming = self.desk.coming.borrow();
            let mut wishes = self.wishes.borrow_mut();
            wishes.retain(|wish| self.who_wishes(wish).is_some());
            let mut waiting = wishes.iter();
            let welcome = waiting.position(|wish| coming.may_come(wish.to, wish.len, limit));
            let Some(wish) = welcome.and_then(|at| wishes.remove(at)) else {
                return;
            };
            drop((coming, wishes));
            self.desk.may_have_wish.set(true);
            if let Some(stream) = self.who_wishes(&wish)
                && stream.may_come(UnderWay::new(&self.desk, &wish))
            {
                self.large.borrow_mut().push(wish.number);
            }
        }
    }

    /// The stream that has this wish, if it still has it.
    fn who_wishes(&self, wish: &Wish) -> Option<Rc<BackStream>> {
        let stream = self.live(wish.number)?;
        (stream.wish().as_ref() == Some(wish)).then_some(stream)
    }

    fn live(&self, number: u32) -> Option<Rc<BackStream>> {
        self.find(number).ok().flatten()
    }

    /// The stream of this number; `None` if it is over on this side.
    fn find(&self, number: u32) -> Result<Option<Rc<BackStream>>, Fault> {
        match self.streams.borrow().get(&number) {
            Some(StreamSlot::Live(stream)) if !stream.tie.is_over() => Ok(Some(stream.clone())),
            Some(_) => Ok(None),
            None => Err(NO_STREAM),
        }
    }
}

fn live(
    streams: &HashMap<u32, StreamSlot<BackStream>>,
) -> impl Iterator<Item = (u32, &Rc<BackStream>)> {
    streams.iter().filter_map(|(number, slot)| match slot {
        StreamSlot::Live(stream) if !stream.tie.is_over() => Some((*number, stream)),
        _ => None,
    })
}

impl Holder for BackLink {
    fn connection(&self) -> &Rc<LinkConnection> {
        &self.connection
    }

    #[cfg(feature = "ctl")]
    fn load(&self) -> usize {
        live(&self.streams.borrow()).count()
    }

    fn held(&self) -> usize {
        let streams = self.streams.borrow();
        live(&streams).map(|(_, stream)| stream.held()).sum()
    }

    fn largest(&self) -> Option<u32> {
        let streams = self.streams.borrow();
        let held = live(&streams).map(|(number, stream)| (number, stream.held()));
        let largest = held.max_by_key(|(_, held)| *held);
        largest
            .filter(|(_, held)| *held > 0)
            .map(|(number, _)| number)
    }

    fn newest(&self, place: Scarce) -> Option<u32> {
        let streams = self.streams.borrow();
        let having = live(&streams).filter(|(_, stream)| stream.has(place));
        having.map(|(number, _)| number).max()
    }

    fn end(&self, number: u32, reason: EndReason) {
        self.leave(number, reason);
    }
}

impl Half for Rc<BackLink> {
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

    fn evict_largest(&self) {
        self.fronts.evict_largest();
    }

    fn look_again(&self, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.take_notes();
        self.desk.room.set_task(cx.waker());
        if self.desk.room.take() {
            for number in self.stalled.take() {
                if let Some(stream) = self.live(number) {
                    stream.hear(News::Room);
                }
            }
        }
        self.desk.buffers.set_task(cx.waker());
        if self.desk.buffers.take() {
            let large = self.large.borrow().clone();
            for number in large {
                if let Some(stream) = self.live(number) {
                    stream.hear(News::Buffers);
                }
            }
        }
        // Streams that have just been told to go on may want buffers.
        self.take_notes();
        self.grant_wishes();
        Ok(())
    }

    fn tick(&self) {
        self.tell_middle();
        for (_, stream) in live(&self.streams.borrow()) {
            stream.hear(News::Tick);
        }
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
