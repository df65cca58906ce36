use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::backend::{Body, Packet, Route, SessionEnd, Sink, Stream};
use crate::link::connection::{ALLOWANCE, LinkConnection};
use crate::link::driver::LinkStream;
use crate::link::fault::Fault;
use crate::link::notes::{Note, Taken};
use crate::link::stream_flow::StreamFlow;
use crate::net::Rope;
use crate::wire::dc::DcId;
use crate::wire::link::EndReason;
use crate::wire::link::packets::{PacketPart, PacketReader, packet_header};
use crate::wire::link::window::Uptake;

/// The longest answer of Telegram, in bytes (`doc/protocol.md` §4).
const MAX_ANSWER: usize = 16 << 20;

/// One client's session on a link.
pub(super) struct FrontStream {
    link: Rc<LinkConnection>,
    flow: StreamFlow,
    dc: DcId,
    sink: Rc<dyn Sink>,
    inbound: RefCell<Inbound>,
    /// Wakes the client's task, which waits until it may push.
    waker: Cell<Option<Waker>>,
    is_over: Cell<bool>,
}

/// From the back to the client.
struct Inbound {
    /// `None`: bare bytes.
    packets: Option<PacketReader>,
    /// What the client has not taken yet.
    waiting: Rope,
    /// The session's end, once the client has all of that.
    end: Option<SessionEnd>,
}

impl FrontStream {
    pub(crate) fn new(
        link: &Rc<LinkConnection>,
        number: u32,
        route: Route,
        dc: DcId,
        sink: Rc<dyn Sink>,
    ) -> Rc<Self> {
        Rc::new(Self {
            link: link.clone(),
            flow: StreamFlow::new(link, number),
            dc,
            sink,
            inbound: RefCell::new(Inbound {
                packets: (route == Route::Middle).then(PacketReader::default),
                waiting: Rope::default(),
                end: None,
            }),
            waker: Cell::new(None),
            is_over: Cell::new(false),
        })
    }

    pub(crate) fn dc(&self) -> DcId {
        self.dc
    }

    /// What it has left for its link.
    pub(crate) fn notes(&self) -> Taken {
        self.flow.notes()
    }

    /// It is over: its end is to be said, unless that is done.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// The back has said its end: with ours its number is free.
    pub(crate) fn has_back_ended(&self) -> bool {
        self.inbound.borrow().end.is_some()
    }

    /// Bytes that wait for the client.
    pub(crate) fn held(&self) -> usize {
        self.flow.held()
    }

    /// Too much waits on this front, and for this client most: it is closed.
    pub(crate) fn evict(&self) {
        self.end(SessionEnd::TooSlow);
        self.flow.note(&self.link, Note::Left);
    }

    /// The client has room again.
    pub(crate) fn retry(&self) -> Result<(), Fault> {
        if self.is_over.get() {
            return Ok(());
        }
        let mut inbound = self.inbound.borrow_mut();
        let mut waiting = std::mem::take(&mut inbound.waiting);
        let mut total = 0;
        while let Some(chunk) = waiting.first_mut() {
            let length = chunk.len();
            let taken = self.deliver(&mut inbound, chunk)?;
            waiting.advance(taken);
            total += taken;
            if taken < length {
                break;
            }
        }
        inbound.waiting = waiting;
        let end = inbound.end.filter(|_| inbound.waiting.is_empty());
        drop(inbound);
        self.flow.settled(&self.link, total, Uptake::Slow);
        if let Some(end) = end {
            self.end(end);
        }
        Ok(())
    }

    /// How much of `bytes` the client took.
    fn deliver(&self, inbound: &mut Inbound, bytes: &mut [u8]) -> Result<usize, Fault> {
        let Some(packets) = &mut inbound.packets else {
            return Ok(self.sink.offer(bytes, ALLOWANCE));
        };
        let total = bytes.len();
        let mut input = bytes;
        while let Some(part) = packets.next(&mut input, MAX_ANSWER)? {
            match part {
                PacketPart::Begin { len, .. } => self.sink.begin_packet(len),
                PacketPart::Bytes(bytes) => {
                    let left = bytes.len() - self.sink.offer(bytes, ALLOWANCE);
                    if left > 0 {
                        packets.give_back(left);
                        return Ok(total - input.len() - left);
                    }
                }
                PacketPart::End => self.sink.end_packet(),
            }
        }
        Ok(total)
    }

    pub(crate) fn quick_ack(&self, token: [u8; 4]) {
        self.sink.quick_ack(token);
    }

    /// The back has said the end of this stream, which is over when the client has
    /// what waits for it.
    pub(crate) fn ended_by_back(&self, reason: EndReason) {
        let end = match reason {
            EndReason::ClosedByTelegram => SessionEnd::ClosedByTelegram,
            EndReason::MidSend => SessionEnd::MidSend,
            EndReason::MidAnswer => SessionEnd::MidAnswer,
            EndReason::TooSlow => SessionEnd::TooSlow,
            EndReason::Shutdown => SessionEnd::Shutdown,
            EndReason::ClientLeft
            | EndReason::NoConnection
            | EndReason::MiddleUnavailable
            | EndReason::DirectUnavailable
            | EndReason::UnknownDc => SessionEnd::NoConnection,
        };
        let mut inbound = self.inbound.borrow_mut();
        if end == SessionEnd::ClosedByTelegram && !inbound.waiting.is_empty() {
            inbound.end = Some(end);
            return;
        }
        inbound.end = Some(end);
        drop(inbound);
        self.end(end);
    }

    /// Ends the session; what waits for the client is dropped. Whether it was not
    /// over already.
    pub(crate) fn end(&self, end: SessionEnd) -> bool {
        let is_news = self.give_up();
        if is_news {
            self.sink.end(end);
            self.wake();
        }
        is_news
    }

    /// Whether it was not over already.
    fn give_up(&self) -> bool {
        if self.is_over.replace(true) {
            return false;
        }
        self.flow.clear(&self.link);
        self.inbound.borrow_mut().waiting.clear();
        self.flow.forget_held(&self.link);
        true
    }

    /// The client's task need not wait any more: wakes it, and takes it out of the link's
    /// list of those that wait for room.
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            self.link.unpark(&waker);
            waker.wake();
        }
    }
}

impl LinkStream for FrontStream {
    /// Bytes for the client: what it does not take waits.
    fn receive(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.flow.received(&self.link, bytes.len())?;
        let mut inbound = self.inbound.borrow_mut();
        let taken = match inbound.waiting.is_empty() {
            true => self.deliver(&mut inbound, bytes)?,
            false => 0,
        };
        let rest = bytes.get(taken..).unwrap_or_default();
        let link = &self.link;
        inbound
            .waiting
            .append_overdrawn(&link.context.buffers, rest);
        let uptake = match inbound.waiting.is_empty() {
            true if !link.is_crowded() => Uptake::Quick,
            true => Uptake::Steady,
            false => Uptake::Slow,
        };
        drop(inbound);
        self.flow.settled(link, taken, uptake);
        Ok(())
    }

    fn credit(&self, bytes: u32) -> Result<(), Fault> {
        self.flow.add_credit(bytes)?;
        if self.flow.queued() > 0 {
            self.flow.ask_turn(&self.link);
        }
        Ok(())
    }

    fn take_turn(&self) {
        self.flow.take_turn(&self.link);
        if self.flow.queued() == 0 {
            self.wake();
        }
    }
}

/// The client's hold on its session.
pub(super) struct Handle(pub(crate) Rc<FrontStream>);

impl Stream for Handle {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let stream = &self.0;
        let link = &stream.link;
        if stream.is_over.get() {
            Poll::Ready(())
        } else if stream.flow.queued() > 0 {
            stream.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        } else if link.is_full() {
            stream.waker.set(Some(cx.waker().clone()));
            link.park(cx.waker());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn push(&self, packet: Packet<'_>) {
        let stream = &self.0;
        if stream.is_over.get() {
            return;
        }
        let is_packets = stream.inbound.borrow().packets.is_some();
        let len = match &packet.body {
            Body::Slice(slice) => slice.len(),
            Body::Rope(rope) => rope.len(),
        };
        let header = packet_header(len, packet.quick_ack);
        let head = if is_packets { &header[..] } else { &[] };
        let link = &stream.link;
        match packet.body {
            Body::Slice(slice) => stream.flow.send(link, head, slice),
            Body::Rope(rope) => stream.flow.enqueue_rope(link, head, rope),
        }
    }

    fn resume(&self) {
        self.0.flow.note(&self.0.link, Note::Room);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0.give_up() {
            self.0.wake();
            self.0.flow.note(&self.0.link, Note::Left);
        }
    }
}
