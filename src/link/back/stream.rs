use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use smol::Task;

use super::desk::Desk;
use super::early::Early;
use super::line::{self, LineEnd, LineStream};
use super::packets::Packets;
use super::taker::{News, Taker};
use super::tie::Tie;
use super::wish::{UnderWay, Wish};
use crate::backend::{OpenError, SessionEnd, Sink, Stream, Taking};
use crate::connection::OnTrial;
use crate::link::LinkContext;
use crate::link::connection::LinkConnection;
use crate::link::driver::LinkStream;
use crate::link::fault::Fault;
use crate::metrics::RouteKind;
use crate::wire::link::packets::{PACKET_HEADER_LEN, packet_header};
use crate::wire::link::whole::Scarce;
use crate::wire::link::{EndReason, Frame, Open, OpenRoute};

/// One client's session on a link: what a middle connection or a line has for
/// the client goes through it as its [`Sink`].
pub(super) struct BackStream {
    pub(crate) tie: Tie,
    /// `None`: the session is dropped.
    taker: RefCell<Option<Box<dyn Taker>>>,
    /// Opens the session, or relays a line.
    task: Cell<Option<Task<()>>>,
    route: RouteKind,
    /// The header of an answer, until it goes out with the first bytes.
    head: Cell<Option<[u8; PACKET_HEADER_LEN]>>,
    /// Telegram's side was refused something: it is told to go on when no more than this
    /// is queued.
    resume_at: Cell<Option<u32>>,
    /// When the client last took something, as far as the back knows: when its front gave
    /// credit or had some left. On the link's clock.
    taken: Cell<u32>,
    /// The metrics have counted the session as open.
    is_counted: Cell<bool>,
}

impl BackStream {
    pub(crate) fn new(desk: &Rc<Desk>, number: u32, open: &Open) -> Rc<Self> {
        let link = &desk.connection;
        link.context.metrics.link_streams.inc();
        let stream = Rc::new(Self {
            tie: Tie::new(desk, number, open.dc),
            taker: RefCell::new(Some(Box::<Early>::default())),
            task: Cell::new(None),
            route: match open.route {
                OpenRoute::Middle => RouteKind::Middle,
                OpenRoute::Direct(_) => RouteKind::Direct,
            },
            head: Cell::new(None),
            resume_at: Cell::new(None),
            taken: Cell::new(link.clock()),
            is_counted: Cell::new(false),
        });
        for place in stream.places() {
            link.share.with(|whole, user| whole.take(user, *place));
        }
        stream
    }

    fn link(&self) -> &Rc<LinkConnection> {
        self.tie.connection()
    }

    /// What it takes of what a back has only a number of.
    fn places(&self) -> &'static [Scarce] {
        match self.route {
            RouteKind::Middle => &[Scarce::Stream],
            _ => &[Scarce::Stream, Scarce::Line],
        }
    }

    pub(crate) fn has(&self, place: Scarce) -> bool {
        self.places().contains(&place)
    }

    /// Bytes of the client that wait here, without those in buffers of a large packet.
    pub(crate) fn held(&self) -> usize {
        self.tie.flow.held()
    }

    /// The task that opens the session, or relays it, and is dropped with it. The task
    /// before it is let go and ends by itself.
    pub(crate) fn set_task(&self, task: Option<Task<()>>) {
        if let Some(before) = self.task.replace(task) {
            before.detach();
        }
    }

    /// A session is there.
    pub(crate) fn opened(&self, session: Box<dyn Stream>) {
        if !self.tie.is_over() {
            // What opened it ends with this call.
            self.set_task(None);
            self.begin(Box::new(Packets::new(session)));
        }
    }

    /// A session with a connection of its own is there.
    pub(crate) fn opened_line(self: &Rc<Self>, line: OnTrial) {
        if !self.tie.is_over() {
            self.begin(Box::new(LineEnd::new(line)));
            let executor = &self.link().context.executor;
            self.set_task(Some(executor.spawn(line::relay(self.clone()))));
        }
    }

    /// From here on `taker` takes what comes, and what came early.
    fn begin(&self, taker: Box<dyn Taker>) {
        let metrics = &self.link().context.metrics;
        metrics.session_opened(self.tie.dc, self.route);
        self.is_counted.set(true);
        let before = self.taker.replace(Some(taker));
        let handed_on = before.map_or(Ok(()), |early| {
            early.hand_on(&mut |bytes| self.take(bytes, 0))
        });
        if let Err(fault) = handed_on {
            self.link().fail(fault);
        }
    }

    /// The session could not be opened.
    pub(crate) fn refused(&self, error: OpenError) {
        self.tie.finish(match error {
            OpenError::MiddleUnavailable => EndReason::MiddleUnavailable,
            OpenError::DirectUnavailable => EndReason::DirectUnavailable,
            OpenError::UnknownDc => EndReason::UnknownDc,
            OpenError::Shutdown => EndReason::Shutdown,
            OpenError::NoLink => EndReason::NoConnection,
        });
    }

    /// Bytes came, the first few of which are not held by the window.
    fn take(&self, bytes: &mut [u8], unheld: usize) -> Result<(), Fault> {
        match &mut *self.taker.borrow_mut() {
            Some(taker) => taker.take(bytes, unheld, &self.tie),
            None => Ok(()),
        }
    }

    pub(crate) fn hear(&self, news: News) {
        if let Some(taker) = &mut *self.taker.borrow_mut() {
            taker.hear(news, &self.tie);
        }
    }

    /// A packet of it that waits for buffers.
    pub(crate) fn wish(&self) -> Option<Wish> {
        self.taker.borrow().as_ref()?.wish(&self.tie)
    }

    /// That packet may come; whether it does.
    pub(crate) fn may_come(&self, under_way: UnderWay) -> bool {
        let mut taker = self.taker.borrow_mut();
        let may_come = |taker: &mut Box<dyn Taker>| taker.may_come(under_way, &self.tie);
        taker.as_mut().is_some_and(may_come)
    }

    /// Drops the session, which tells Telegram. Whether the stream may be in a list of
    /// the link's. Not to be called from inside of the stream.
    pub(crate) fn drop_session(&self) -> bool {
        let link = self.link();
        self.tie.flow.clear(link);
        let Some(taker) = self.taker.take() else {
            return false;
        };
        let is_waiting = taker.is_waiting();
        self.tie.flow.forget_held(link);
        for place in self.places() {
            link.share.with(|whole, user| whole.give_back(user, *place));
        }
        let metrics = &link.context.metrics;
        metrics.link_streams.dec();
        if self.is_counted.get() {
            metrics.session_closed(self.tie.dc, self.route);
        }
        drop((self.task.take(), taker));
        is_waiting
    }

    /// Asks for a turn if that can make room. Credit for no more than a header cannot:
    /// Telegram's side would be told to go on, offer something, be refused and ask again.
    fn ask_turn(&self) {
        let flow = &self.tie.flow;
        if flow.queued() > 0 || flow.credit() > PACKET_HEADER_LEN {
            flow.ask_turn(self.link());
        }
    }
}

impl LineStream for BackStream {
    fn context(&self) -> &LinkContext {
        &self.link().context
    }

    fn flush(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let written = match &mut *self.taker.borrow_mut() {
            Some(line) => line.flush(cx)?,
            None => 0,
        };
        self.tie.settled(written);
        Ok(())
    }

    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        match &mut *self.taker.borrow_mut() {
            Some(line) => line.poll_read(cx, space, most, take),
            // It is being dropped, and the line's task with it.
            None => Poll::Pending,
        }
    }

    fn room(&self, wanted: usize, allowance: usize) -> usize {
        let link = self.link();
        let flow = &self.tie.flow;
        let direct = flow.room(link).saturating_sub(PACKET_HEADER_LEN);
        let queued = flow.queued();
        let left = link.share.with(|whole, user| whole.queue_room(user));
        let allowed = allowance.min(link.context.buffers.free_bytes());
        let allowed = allowed.min(queued + left);
        wanted.min(direct.max(allowed.saturating_sub(queued)))
    }

    fn want_room(&self) {
        self.resume_at.set(Some(self.tie.flow.queued() as u32 / 2));
        self.ask_turn();
    }

    fn end_line(&self, reason: EndReason) {
        match reason {
            EndReason::ClosedByTelegram => self.tie.end_after_queue(reason),
            _ => self.tie.finish(reason),
        }
    }
}

impl LinkStream for BackStream {
    fn receive(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        let unheld = self.tie.flow.received(self.link(), bytes.len())?;
        self.take(bytes, unheld)
    }

    fn credit(&self, bytes: u32) -> Result<(), Fault> {
        self.tie.flow.add_credit(bytes)?;
        self.taken.set(self.link().clock());
        if self.tie.flow.queued() > 0 || self.resume_at.get().is_some() {
            self.ask_turn();
        }
        Ok(())
    }

    /// Sends one frame of what is queued, and lets Telegram's side go on if it
    /// waits.
    fn take_turn(&self) {
        self.tie.flow.take_turn(self.link());
        let queued = self.tie.flow.queued();
        if self
            .resume_at
            .get()
            .is_some_and(|limit| queued <= limit as usize)
        {
            self.resume_at.set(None);
            self.hear(News::Resume);
        }
        if queued == 0 {
            self.tie.queue_is_sent();
        }
    }
}

impl Sink for BackStream {
    fn begin_packet(&self, len: usize) {
        self.head.set(Some(packet_header(len, false)));
    }

    fn offer(&self, data: &mut [u8], allowance: usize) -> usize {
        if self.tie.is_over() {
            return data.len();
        }
        let taken = self.room(data.len(), allowance);
        if taken > 0 {
            if self.tie.flow.queued() == 0 && self.tie.flow.credit() > 0 {
                self.taken.set(self.link().clock());
            }
            let head = self.head.take();
            let head = head.as_ref().map_or(&[][..], |head| head);
            let data = data.get(..taken).unwrap_or_default();
            self.tie.flow.send(self.link(), head, data);
        }
        if taken < data.len() {
            self.want_room();
        }
        taken
    }

    fn end_packet(&self) {
        if let Some(head) = self.head.take()
            && !self.tie.is_over()
        {
            self.tie.flow.send(self.link(), &head, &[]);
        }
    }

    fn quick_ack(&self, token: [u8; 4]) {
        // They need no credit, and a client can do without them: one that does not read
        // gets none, or they would pile up.
        if !self.tie.is_over() && self.tie.flow.room(self.link()) > 0 {
            let stream = self.tie.flow.number;
            self.link().send(&Frame::QuickAck { stream, token });
        }
    }

    fn undelivered(&self) -> usize {
        self.tie.flow.queued()
    }

    fn taking(&self) -> Taking {
        let link = self.link();
        let taken = link.instant(self.taken.get());
        // A client with credit left has taken all that was sent: it waits for the link.
        let is_ahead = self.tie.flow.credit() > PACKET_HEADER_LEN;
        let has_share = || link.share.with(|whole, user| whole.queue_room(user) > 0);
        Taking {
            last: match is_ahead {
                true => taken.max(link.wrote()),
                false => taken,
            },
            lag: link.round_trip(),
            // Not if its front has used up its share: the others need not wait for that.
            starved: is_ahead && self.tie.flow.queued() == 0 && has_share(),
        }
    }

    fn end(&self, end: SessionEnd) {
        match end {
            SessionEnd::ClosedByTelegram => self.tie.end_after_queue(EndReason::ClosedByTelegram),
            SessionEnd::MidSend => self.tie.finish(EndReason::MidSend),
            SessionEnd::MidAnswer => self.tie.finish(EndReason::MidAnswer),
            SessionEnd::TooSlow => self.tie.finish(EndReason::TooSlow),
            SessionEnd::Shutdown => self.tie.finish(EndReason::Shutdown),
            SessionEnd::NoConnection | SessionEnd::LinkLost => {
                self.tie.finish(EndReason::NoConnection)
            }
        }
    }
}
