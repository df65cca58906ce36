//! What a front sends for a stream, on its way to Telegram. Each byte of it is in
//! these counts in turn:
//!
//! | Count | Bytes that | Raised by | Lowered by |
//! |---|---|---|---|
//! | [`Flow`]`::granted` | the front may still send | each frame of credit | `received` |
//! | `unreserved` | wait for the rest of their packet, in no reservation | `Collecting::append` | `push_collected` |
//! | `unsettled` | the session has, but takes no more | `owe` | `settle_in`, when it does |
//! | [`Flow`]`::owed` | have left here, not yet worth a frame of credit | `settled` | the next frame |
//!
//! A packet that is given a reservation is in neither of the last two: credit for
//! all of it comes with that (`grant_more`). [`Flow`]`::grown` is what the front was
//! given beyond the link's window; here it only rises (`settled`).
//!
//! `held` is what the stream takes of this machine: `unreserved`, `unsettled`, what
//! came before the session and what a line's DC has not taken. It moves by
//! `hold` and `unhold` only, as does the sum of all streams, which `relieve` keeps
//! within bounds; `drop_session` takes off what is left.
//!
//! [`Flow`]: crate::link::flow::Flow

use std::mem;
use std::task::Context;

use smol::Task;

use super::early::Early;
use super::line::LineEnd;
use super::stream::BackStream;
use crate::backend::{Body, Packet, Stream};
use crate::link::fault::Fault;
use crate::link::flow::Pace;
use crate::net::{BufferPool, Reservation, Rope};
use crate::wire::link::LinkError;
use crate::wire::link::packets::{PACKET_HEADER_LEN, PacketPart, PacketReader};
use crate::wire::transport::MAX_PACKET;

/// From the front to Telegram.
#[derive(Default)]
pub(super) struct Inbound {
    /// Opens the session, or relays a line.
    pub task: Option<Task<()>>,
    pub local: Local,
    reader: PacketReader,
    /// A packet that did not come whole.
    collecting: Option<Box<Collecting>>,
    /// Large packets so far.
    large: u32,
    /// Handed on, but the session takes no more: credit for them is kept back.
    unsettled: u32,
    is_stalled: bool,
    /// Bytes counted as held here.
    held: u32,
}

/// Who takes what comes.
pub(super) enum Local {
    /// Nobody yet.
    Opening(Option<Box<Early>>),
    Packets(Box<dyn Stream>),
    Line(Box<LineEnd>),
    Gone,
}

struct Collecting {
    quick_ack: bool,
    len: usize,
    body: Rope,
    reservation: Option<Reservation>,
    /// Bytes of it in no reservation.
    unreserved: usize,
}

impl Default for Local {
    fn default() -> Self {
        Self::Opening(None)
    }
}

impl Inbound {
    pub fn gone() -> Self {
        Self {
            local: Local::Gone,
            ..Self::default()
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.local, Local::Gone)
    }

    /// Bytes that wait here, over what its reservations hold.
    pub fn held(&self) -> usize {
        self.held as usize
    }

    /// It is in a list of the link's.
    pub fn is_waiting(&self) -> bool {
        let collecting = self.collecting.as_ref();
        self.is_stalled || collecting.is_some_and(|packet| packet.reservation.is_none())
    }

    /// Telegram's side may offer again.
    pub fn resume(&self) {
        match &self.local {
            Local::Packets(session) => session.resume(),
            Local::Line(line) => line.wake(),
            Local::Opening(_) | Local::Gone => {}
        }
    }
}

impl Collecting {
    /// How many bytes went where no reservation is.
    fn append(&mut self, buffers: &std::rc::Rc<BufferPool>, data: &[u8]) -> usize {
        let reservation = self.reservation.as_mut();
        let promised = reservation.map_or(0, |own| self.body.append_promised(own, data));
        let rest = data.get(promised..).unwrap_or_default();
        self.body.append_overdrawn(buffers, rest);
        self.unreserved += rest.len();
        rest.len()
    }
}

impl BackStream {
    /// Bytes that wait here, over what its reservations hold.
    pub fn held(&self) -> usize {
        self.inbound.borrow().held()
    }

    /// Makes `local` the taker, of what came early first.
    pub fn replay(&self, local: Local) -> Result<(), Fault> {
        let mut inbound = self.inbound.borrow_mut();
        let Local::Opening(Some(early)) = mem::replace(&mut inbound.local, local) else {
            return Ok(());
        };
        self.unhold(&mut inbound, early.len());
        drop(inbound);
        early.hand_on(|bytes| self.accept(bytes))
    }

    pub fn accept(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        let mut inbound = self.inbound.borrow_mut();
        match &mut inbound.local {
            Local::Opening(early) => {
                let early = early.get_or_insert_default();
                early.append(&self.link.connection.context.buffers, bytes);
                self.hold(&mut inbound, bytes.len());
            }
            Local::Packets(_) => {
                self.take_packets(&mut inbound, bytes)?;
                self.settle_in(&mut inbound);
            }
            Local::Line(line) => {
                let (written, kept) = line.write(&self.link.connection.context, bytes);
                self.hold(&mut inbound, kept);
                drop(inbound);
                self.settled(written);
            }
            Local::Gone => {}
        }
        Ok(())
    }

    fn take_packets(&self, inbound: &mut Inbound, bytes: &mut [u8]) -> Result<(), Fault> {
        let mut input = bytes;
        let mut is_whole_acked = false;
        while let Some(part) = inbound.reader.next(&mut input, MAX_PACKET)? {
            match part {
                PacketPart::Begin { len, .. } if len == 0 || len % 4 != 0 => {
                    return Err(LinkError::Packet(len).into());
                }
                PacketPart::Begin { len, quick_ack } => {
                    self.owe(inbound, PACKET_HEADER_LEN);
                    is_whole_acked = quick_ack;
                    if input.len() < len {
                        self.collect(inbound, len, quick_ack);
                    }
                }
                PacketPart::Bytes(data) => match &mut inbound.collecting {
                    Some(packet) => {
                        let context = &self.link.connection.context;
                        let unreserved = packet.append(&context.buffers, data);
                        self.hold(inbound, unreserved);
                    }
                    None => {
                        let length = data.len();
                        if let Local::Packets(session) = &inbound.local {
                            session.push(Packet {
                                quick_ack: is_whole_acked,
                                body: Body::Slice(data),
                            });
                        }
                        self.owe(inbound, length);
                    }
                },
                PacketPart::End => self.push_collected(inbound),
            }
        }
        Ok(())
    }

    fn collect(&self, inbound: &mut Inbound, len: usize, quick_ack: bool) {
        inbound.collecting = Some(Box::new(Collecting {
            quick_ack,
            len,
            body: Rope::default(),
            reservation: None,
            unreserved: 0,
        }));
        if len + PACKET_HEADER_LEN > self.flow.sure_window(&self.link.connection) {
            inbound.large = inbound.large.wrapping_add(1);
            let packet = inbound.large;
            self.link.reserve(self.flow.number, packet, len);
        }
    }

    fn push_collected(&self, inbound: &mut Inbound) {
        let Some(packet) = inbound.collecting.take() else {
            return;
        };
        self.unhold(inbound, packet.unreserved);
        // A reservation came with credit for the whole packet.
        if packet.reservation.is_none() {
            self.owe(inbound, packet.len);
        }
        if let Local::Packets(session) = &inbound.local {
            session.push(Packet {
                quick_ack: packet.quick_ack,
                body: Body::Rope(packet.body),
            });
        }
    }

    /// Whether this packet still wants buffers.
    pub fn is_waiting_for(&self, packet: u32) -> bool {
        let inbound = self.inbound.borrow();
        let collecting = inbound.collecting.as_ref();
        inbound.large == packet && collecting.is_some_and(|one| one.reservation.is_none())
    }

    /// There are buffers for the packet that is being collected.
    pub fn reserved(&self, reservation: Reservation, len: usize) {
        if let Some(packet) = &mut self.inbound.borrow_mut().collecting {
            packet.reservation = Some(reservation);
        }
        self.flow.grant_more(&self.link.connection, len);
    }

    /// The session may take more: gives the credit that was kept back.
    pub fn settle(&self) {
        let mut inbound = self.inbound.borrow_mut();
        inbound.is_stalled = false;
        self.settle_in(&mut inbound);
    }

    fn settle_in(&self, inbound: &mut Inbound) {
        if inbound.unsettled == 0 || inbound.is_stalled {
            return;
        }
        let mut cx = Context::from_waker(self.link.room_waker());
        let is_ready = match &inbound.local {
            Local::Packets(session) => session.poll_ready(&mut cx).is_ready(),
            _ => true,
        };
        if is_ready {
            let count = mem::take(&mut inbound.unsettled);
            self.unhold(inbound, count as usize);
            self.settled(count as usize);
        } else {
            inbound.is_stalled = true;
            self.link.stall(self.flow.number);
        }
    }

    /// Gives credit, more each time: the window does not shrink again, because a
    /// packet that has begun may count on it.
    pub fn settled(&self, count: usize) {
        let pace = match self.link.is_crowded() {
            true => Pace::Steady,
            false => Pace::Quick,
        };
        self.flow.settled(&self.link.connection, count, pace);
    }

    /// Credit for so many bytes is due when the session takes more.
    fn owe(&self, inbound: &mut Inbound, count: usize) {
        inbound.unsettled += count as u32;
        self.hold(inbound, count);
    }

    pub fn hold(&self, inbound: &mut Inbound, count: usize) {
        inbound.held += count as u32;
        self.link.hold(count);
    }

    pub fn unhold(&self, inbound: &mut Inbound, count: usize) {
        inbound.held -= count as u32;
        self.link.unhold(count);
    }

    /// Drops what can be computed again, if little has come since the last time.
    pub fn rest(&self) {
        if let Local::Line(line) = &mut self.inbound.borrow_mut().local {
            line.rest();
        }
    }
}
