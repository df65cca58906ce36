use std::cell::Cell;
use std::rc::Rc;

use super::desk::Desk;
use crate::link::connection::LinkConnection;
use crate::link::notes::Note;
use crate::link::stream_flow::StreamFlow;
use crate::metrics::Revocation;
use crate::wire::dc::DcId;
use crate::wire::link::EndReason;
use crate::wire::link::window::Uptake;

/// What a stream has of its link, and how it has ended. A [`Taker`](super::taker::Taker)
/// sees no more of its stream than this.
pub(super) struct Tie {
    pub(crate) desk: Rc<Desk>,
    pub(crate) flow: StreamFlow,
    pub(crate) dc: DcId,
    is_over: Cell<bool>,
    /// Why the session has ended, until the front is told: what is queued goes first.
    end: Cell<Option<EndReason>>,
    /// Why buffers were taken from it, which ended it.
    lost: Cell<Option<Revocation>>,
}

impl Tie {
    pub(crate) fn new(desk: &Rc<Desk>, number: u32, dc: DcId) -> Self {
        Self {
            desk: desk.clone(),
            flow: StreamFlow::new(&desk.connection, number),
            dc,
            is_over: Cell::new(false),
            end: Cell::new(None),
            lost: Cell::new(None),
        }
    }

    pub(crate) fn connection(&self) -> &Rc<LinkConnection> {
        &self.desk.connection
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Ends the session: nothing more comes or goes. The link's task says so to the
    /// front, and drops the session when nobody is inside it.
    pub(crate) fn finish(&self, reason: EndReason) {
        if !self.is_over.replace(true) {
            self.end.set(Some(reason));
            self.flow.clear(self.connection());
            self.note(Note::Left);
        }
    }

    /// The session ends when all that is queued is sent.
    pub(crate) fn end_after_queue(&self, reason: EndReason) {
        match self.flow.queued() {
            0 => self.finish(reason),
            _ => self.end.set(Some(reason)),
        }
    }

    /// All that was queued is sent.
    pub(crate) fn queue_is_sent(&self) {
        if let Some(reason) = self.end.get() {
            self.finish(reason);
        }
    }

    /// The buffers of its packet are for others: the stream is over.
    pub(crate) fn lose_buffers(&self, reason: Revocation) {
        if !self.is_over() {
            self.lost.set(Some(reason));
            self.finish(EndReason::TooSlow);
        }
    }

    /// Ends the stream without a note to the link. Returns what the link has not been told:
    /// why the session ended, and why it lost its buffers.
    pub(crate) fn cut(&self) -> (Option<EndReason>, Option<Revocation>) {
        let end = match self.is_over.replace(true) {
            true => self.end.take(),
            false => None,
        };
        (end, self.lost.take())
    }

    pub(crate) fn note(&self, note: Note) {
        self.flow.note(self.connection(), note);
    }

    /// Bytes have left here: gives credit for them. The window may grow but never shrinks,
    /// because a packet that has begun may count on it.
    pub(crate) fn settled(&self, count: usize) {
        let link = self.connection();
        let uptake = match link.is_crowded() {
            true => Uptake::Steady,
            false => Uptake::Quick,
        };
        self.flow.settled(link, count, uptake);
    }
}
