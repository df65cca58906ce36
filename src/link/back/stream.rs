use std::cell::{Cell, RefCell};
use std::rc::Rc;

use smol::Task;

use super::inbound::{Inbound, Local};
use super::link::BackLink;
use crate::backend::{OpenError, SessionEnd, Sink, Stream, Taking};
use crate::link::driver::LinkStream;
use crate::link::fault::Fault;
use crate::link::flow::Flow;
use crate::link::window::Scarce;
use crate::metrics::RouteKind;
use crate::wire::dc::DcId;
use crate::wire::link::packets::{PACKET_HEADER_LEN, packet_header};
use crate::wire::link::{EndReason, Frame, Open, OpenRoute};

/// One client's session on a link: what a middle connection or a line has for
/// the client goes through it as its [`Sink`].
pub(super) struct BackStream {
    pub link: Rc<BackLink>,
    pub flow: Flow,
    dc: DcId,
    route: RouteKind,
    pub inbound: RefCell<Inbound>,
    /// The length of an answer, until its first bytes go out.
    head: Cell<Option<[u8; PACKET_HEADER_LEN]>>,
    /// Something was refused: tell when so little is queued.
    resume_at: Cell<Option<u32>>,
    /// When the front last gave credit, for what its client has taken, or had
    /// some left: on the link's clock.
    taken: Cell<u32>,
    /// The session's end, once all before it is sent.
    end: Cell<Option<EndReason>>,
    is_over: Cell<bool>,
    /// A session was counted.
    is_counted: Cell<bool>,
}

impl BackStream {
    pub fn new(link: &Rc<BackLink>, number: u32, open: &Open) -> Rc<Self> {
        link.connection.context.metrics.link_streams.inc();
        let stream = Rc::new(Self {
            link: link.clone(),
            flow: Flow::new(&link.connection, number),
            dc: open.dc,
            route: match open.route {
                OpenRoute::Middle => RouteKind::Middle,
                OpenRoute::Direct(_) => RouteKind::Direct,
            },
            inbound: RefCell::default(),
            head: Cell::new(None),
            resume_at: Cell::new(None),
            taken: Cell::new(link.connection.clock()),
            end: Cell::new(None),
            is_over: Cell::new(false),
            is_counted: Cell::new(false),
        });
        for place in stream.places() {
            let account = &link.connection.account;
            account.with(|whole, user| whole.take(user, *place));
        }
        stream
    }

    /// What it takes of what a back has only so many of.
    fn places(&self) -> &'static [Scarce] {
        match self.route {
            RouteKind::Middle => &[Scarce::Stream],
            _ => &[Scarce::Stream, Scarce::Line],
        }
    }

    pub fn has(&self, place: Scarce) -> bool {
        self.places().contains(&place)
    }

    pub fn dc(&self) -> DcId {
        self.dc
    }

    /// Bytes of the client that wait here, over what its reservations hold.
    pub fn held(&self) -> usize {
        self.flow.held()
    }

    /// What opens or relays the session; dropping it gives that up. What it
    /// takes over from ends by itself.
    pub fn set_task(&self, task: Task<()>) {
        if let Some(before) = self.inbound.borrow_mut().task.replace(task) {
            before.detach();
        }
    }

    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// A session is there.
    pub fn opened(&self, session: Box<dyn Stream>) {
        if !self.is_over() {
            // What opened it ends with this call.
            if let Some(task) = self.inbound.borrow_mut().task.take() {
                task.detach();
            }
            self.begin(Local::Packets(session));
        }
    }

    /// From here on `local` takes what comes, and what came early.
    pub fn begin(&self, local: Local) {
        let metrics = &self.link.connection.context.metrics;
        metrics.session_opened(self.dc, self.route);
        self.is_counted.set(true);
        if let Err(fault) = self.replay(local) {
            self.link.connection.fail(fault);
        }
    }

    /// There is none.
    pub fn refused(&self, error: OpenError) {
        self.finish(match error {
            OpenError::MiddleUnavailable => EndReason::MiddleUnavailable,
            OpenError::DirectUnavailable => EndReason::DirectUnavailable,
            OpenError::UnknownDc => EndReason::UnknownDc,
            OpenError::Shutdown => EndReason::Shutdown,
            OpenError::NoLink => EndReason::NoConnection,
        });
    }

    /// Says the end to the front; the session is dropped by the link's task.
    pub fn finish(&self, reason: EndReason) {
        if !self.is_over.replace(true) {
            self.flow.clear(&self.link.connection);
            self.link.leave(self.flow.number, reason);
        }
    }

    /// Lets go of the session, which tells Telegram.
    pub fn drop_session(&self) {
        self.is_over.set(true);
        let link = &self.link.connection;
        self.flow.clear(link);
        let gone = self.inbound.replace(Inbound::gone());
        if gone.is_gone() {
            return;
        }
        self.flow.forget_held(link);
        for place in self.places() {
            link.account
                .with(|whole, user| whole.give_back(user, *place));
        }
        if gone.is_waiting() {
            self.link.forget(self.flow.number);
        }
        let metrics = &link.context.metrics;
        metrics.link_streams.dec();
        if self.is_counted.get() {
            metrics.session_closed(self.dc);
        }
    }

    /// How much of `wanted` bytes would be taken now.
    pub fn room(&self, wanted: usize, allowance: usize) -> usize {
        let link = &self.link.connection;
        let direct = self.flow.room(link).saturating_sub(PACKET_HEADER_LEN);
        let queued = self.flow.queued();
        let share = link.account.with(|whole, user| whole.queue_room(user));
        let allowed = allowance.min(link.context.buffers.free_bytes());
        let allowed = allowed.min(queued + share);
        wanted.min(direct.max(allowed.saturating_sub(queued)))
    }

    /// Remembers to tell when there is room again.
    pub fn want_room(&self) {
        self.resume_at.set(Some(self.flow.queued() as u32 / 2));
        self.ask_turn();
    }

    /// Asks for a turn if that can make room. Credit for a header alone does not:
    /// while the buffers are out, Telegram's side would be told to go on, take
    /// nothing, and ask again.
    fn ask_turn(&self) {
        if self.flow.queued() > 0 || self.flow.credit() > PACKET_HEADER_LEN {
            self.flow.ask_turn(&self.link.connection);
        }
    }

    /// The session ends when all that is queued is sent.
    pub fn end_after_queue(&self, reason: EndReason) {
        match self.flow.queued() {
            0 => self.finish(reason),
            _ => self.end.set(Some(reason)),
        }
    }
}

impl LinkStream for BackStream {
    fn receive(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        let unheld = self.flow.received(&self.link.connection, bytes.len())?;
        self.accept(bytes, unheld)
    }

    fn credit(&self, bytes: u32) -> Result<(), Fault> {
        self.flow.add_credit(bytes)?;
        self.taken.set(self.link.connection.clock());
        if self.flow.queued() > 0 || self.resume_at.get().is_some() {
            self.ask_turn();
        }
        Ok(())
    }

    /// Sends one frame of what is queued, and lets Telegram's side go on if it
    /// waits.
    fn take_turn(&self) {
        self.flow.take_turn(&self.link.connection);
        let queued = self.flow.queued();
        if self
            .resume_at
            .get()
            .is_some_and(|limit| queued <= limit as usize)
        {
            self.resume_at.set(None);
            self.inbound.borrow().resume();
        }
        if queued == 0
            && let Some(reason) = self.end.take()
        {
            self.finish(reason);
        }
    }
}

impl Sink for BackStream {
    fn begin_packet(&self, len: usize) {
        self.head.set(Some(packet_header(len, false)));
    }

    fn offer(&self, data: &mut [u8], allowance: usize) -> usize {
        if self.is_over() {
            return data.len();
        }
        let taken = self.room(data.len(), allowance);
        if taken > 0 {
            if self.flow.queued() == 0 && self.flow.credit() > 0 {
                self.taken.set(self.link.connection.clock());
            }
            let head = self.head.take();
            let head = head.as_ref().map_or(&[][..], |head| head);
            let data = data.get(..taken).unwrap_or_default();
            self.flow.send(&self.link.connection, head, data);
        }
        if taken < data.len() {
            self.want_room();
        }
        taken
    }

    fn end_packet(&self) {
        if let Some(head) = self.head.take()
            && !self.is_over()
        {
            self.flow.send(&self.link.connection, &head, &[]);
        }
    }

    fn quick_ack(&self, token: [u8; 4]) {
        // They need no credit, and a client can do without: who does not read gets
        // none.
        if !self.is_over() && self.flow.room(&self.link.connection) > 0 {
            let stream = self.flow.number;
            self.link
                .connection
                .send(&Frame::QuickAck { stream, token });
        }
    }

    fn undelivered(&self) -> usize {
        self.flow.queued()
    }

    fn taking(&self) -> Taking {
        let link = &self.link.connection;
        let taken = link.instant(self.taken.get());
        // Who has taken all that could come waits for the link, as all its streams do.
        let is_ahead = self.flow.credit() > PACKET_HEADER_LEN;
        let has_share = || link.account.with(|whole, user| whole.queue_room(user) > 0);
        Taking {
            last: match is_ahead {
                true => taken.max(link.wrote()),
                false => taken,
            },
            lag: link.round_trip(),
            // If it is the front that has no more, the others need not wait for it.
            starved: is_ahead && self.flow.queued() == 0 && has_share(),
        }
    }

    fn end(&self, end: SessionEnd) {
        match end {
            SessionEnd::ClosedByTelegram => self.end_after_queue(EndReason::ClosedByTelegram),
            SessionEnd::MidSend => self.finish(EndReason::MidSend),
            SessionEnd::MidAnswer => self.finish(EndReason::MidAnswer),
            SessionEnd::TooSlow => self.finish(EndReason::TooSlow),
            SessionEnd::Shutdown => self.finish(EndReason::Shutdown),
            SessionEnd::NoConnection | SessionEnd::LinkLost => self.finish(EndReason::NoConnection),
        }
    }
}
