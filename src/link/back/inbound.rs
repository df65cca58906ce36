//! What a front sends for a stream, on its way to Telegram. Its bytes are held by
//! the stream's window ([`Window`]) until they have left here:
//!
//! - what comes before the session, or waits for a line's DC, until that takes it;
//! - packets, once the session has them and takes more (`unsettled`);
//! - a packet that is longer than what its window is sure to bring waits until the
//!   session takes more. Then it gets buffers of its own, and credit for all of it.
//!
//! [`Window`]: crate::link::window::Window

use std::mem;
use std::rc::Rc;
use std::task::Context;

use smol::Task;

use super::early::Early;
use super::line::LineEnd;
use super::stream::BackStream;
use super::wish::{UnderWay, Wish};
use crate::backend::{Body, Packet, Stream};
use crate::link::fault::Fault;
use crate::link::window::Pace;
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
    place: PacketPlace,
}

/// Where a packet finds buffers.
enum PacketPlace {
    /// In its window.
    Window,
    /// Nowhere until the session takes more.
    Unwelcome,
    /// In a list of the link's.
    Awaited,
    Reserved {
        buffers: Reservation,
        _under_way: UnderWay,
    },
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

    /// It is in a list of the link's.
    pub fn is_waiting(&self) -> bool {
        self.is_stalled || self.is_awaiting()
    }

    fn is_awaiting(&self) -> bool {
        let collecting = self.collecting.as_ref();
        collecting.is_some_and(|packet| matches!(packet.place, PacketPlace::Awaited))
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
    fn append(&mut self, pool: &Rc<BufferPool>, data: &[u8]) {
        let promised = match &mut self.place {
            PacketPlace::Reserved { buffers, .. } => self.body.append_promised(buffers, data),
            _ => 0,
        };
        let rest = data.get(promised..).unwrap_or_default();
        self.body.append_overdrawn(pool, rest);
    }
}

impl BackStream {
    /// Makes `local` the taker, of what came early first.
    pub fn replay(&self, local: Local) -> Result<(), Fault> {
        let mut inbound = self.inbound.borrow_mut();
        let Local::Opening(Some(early)) = mem::replace(&mut inbound.local, local) else {
            return Ok(());
        };
        drop(inbound);
        early.hand_on(|bytes| self.accept(bytes))
    }

    pub fn accept(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        let mut inbound = self.inbound.borrow_mut();
        match &mut inbound.local {
            Local::Opening(early) => {
                let early = early.get_or_insert_default();
                early.append(&self.link.connection.context.buffers, bytes);
            }
            Local::Packets(_) => {
                self.take_packets(&mut inbound, bytes)?;
                self.settle_in(&mut inbound);
            }
            Local::Line(line) => {
                let written = line.write(&self.link.connection.context, bytes);
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
                    inbound.unsettled += PACKET_HEADER_LEN as u32;
                    is_whole_acked = quick_ack;
                    if input.len() < len {
                        self.collect(inbound, len, quick_ack);
                    }
                }
                PacketPart::Bytes(data) => match &mut inbound.collecting {
                    Some(packet) => {
                        let context = &self.link.connection.context;
                        packet.append(&context.buffers, data);
                    }
                    None => {
                        let length = data.len();
                        if let Local::Packets(session) = &inbound.local {
                            session.push(Packet {
                                quick_ack: is_whole_acked,
                                body: Body::Slice(data),
                            });
                        }
                        inbound.unsettled += length as u32;
                    }
                },
                PacketPart::End => self.push_collected(inbound),
            }
        }
        Ok(())
    }

    fn collect(&self, inbound: &mut Inbound, len: usize, quick_ack: bool) {
        let sure = self.flow.sure_window(&self.link.connection);
        let is_large = len + PACKET_HEADER_LEN > sure;
        inbound.collecting = Some(Box::new(Collecting {
            quick_ack,
            len,
            body: Rope::default(),
            place: match is_large {
                true => PacketPlace::Unwelcome,
                false => PacketPlace::Window,
            },
        }));
        inbound.large = inbound.large.wrapping_add(is_large.into());
    }

    fn push_collected(&self, inbound: &mut Inbound) {
        let Some(packet) = inbound.collecting.take() else {
            return;
        };
        match packet.place {
            // Credit for all of it came with that.
            PacketPlace::Reserved { .. } => {}
            _ => inbound.unsettled += packet.len as u32,
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
        inbound.large == packet && inbound.is_awaiting()
    }

    /// There are buffers for the packet that is being collected. Should the session
    /// take no more meanwhile, others get them.
    pub fn reserved(&self, buffers: Reservation, under_way: UnderWay) {
        let mut inbound = self.inbound.borrow_mut();
        let is_welcome = self.poll_welcome(&mut inbound);
        let Some(packet) = &mut inbound.collecting else {
            return;
        };
        if !is_welcome {
            packet.place = PacketPlace::Unwelcome;
            return;
        }
        packet.place = PacketPlace::Reserved {
            buffers,
            _under_way: under_way,
        };
        let (len, have) = (packet.len, packet.body.len());
        drop(inbound);
        self.flow.reserved(&self.link.connection, len, have);
    }

    /// The session may take more: gives the credit that was kept back.
    pub fn settle(&self) {
        let mut inbound = self.inbound.borrow_mut();
        inbound.is_stalled = false;
        self.settle_in(&mut inbound);
    }

    /// Gives back credit, and asks for buffers, if the session takes more.
    fn settle_in(&self, inbound: &mut Inbound) {
        let collecting = inbound.collecting.as_mut();
        let unwelcome = collecting.filter(|one| matches!(one.place, PacketPlace::Unwelcome));
        let has_wish = unwelcome.is_some();
        if inbound.unsettled == 0 && !has_wish || !self.poll_welcome(inbound) {
            return;
        }
        let count = mem::take(&mut inbound.unsettled);
        self.settled(count as usize);
        let packet = inbound.large;
        if has_wish
            && let Some(collecting) = &mut inbound.collecting
            && let Some(stream) = self.link.live(self.flow.number)
        {
            collecting.place = PacketPlace::Awaited;
            self.link.reserve(Wish {
                stream: Rc::downgrade(&stream),
                number: self.flow.number,
                packet,
                to: self.dc(),
                len: collecting.len,
            });
        }
    }

    /// Whether the session takes more; else the link looks again when it may.
    fn poll_welcome(&self, inbound: &mut Inbound) -> bool {
        if inbound.is_stalled {
            return false;
        }
        let mut cx = Context::from_waker(self.link.room_waker());
        let is_ready = match &inbound.local {
            Local::Packets(session) => session.poll_ready(&mut cx).is_ready(),
            _ => true,
        };
        if !is_ready {
            inbound.is_stalled = true;
            self.link.stall(self.flow.number);
        }
        is_ready
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

    /// Drops what can be computed again, if little has come since the last time.
    pub fn rest(&self) {
        if let Local::Line(line) = &mut self.inbound.borrow_mut().local {
            line.rest();
        }
    }
}
