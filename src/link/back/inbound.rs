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
use std::task::{Context, Poll};

use smol::Task;

use super::early::Early;
use super::line::LineEnd;
use super::stream::BackStream;
use super::wish::{UnderWay, Wish};
use crate::backend::{Body, Packet, Stream};
use crate::link::fault::Fault;
use crate::link::window::Pace;
use crate::metrics::Revocation;
use crate::net::{BufferPool, Destination, Reservation, Rope, User};
use crate::wire::link::packets::{PACKET_HEADER_LEN, PacketPart, PacketReader};
use crate::wire::link::{EndReason, LinkError};
use crate::wire::transport::MAX_PACKET;

/// The part of the free buffers that a large packet may be ahead of its bytes.
const LEAD: usize = 2;

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
    /// Bytes of it that its window holds.
    held: usize,
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
    Large(Large),
}

/// What a packet has that comes beyond its window.
struct Large {
    reservation: Reservation,
    /// There was room once: from then on it comes to its end.
    has_begun: bool,
    is_waiting: bool,
    _under_way: UnderWay,
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
        let collecting = self.collecting.as_ref();
        let is_large = |packet: &Collecting| matches!(packet.place, PacketPlace::Large(_));
        self.is_stalled || self.is_awaiting() || collecting.is_some_and(|one| is_large(one))
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
    /// Bytes of it came, some of which are not held by the window.
    fn append(&mut self, pool: &Rc<BufferPool>, data: &[u8], unheld: usize) {
        self.held += data.len() - unheld;
        let promised = match &mut self.place {
            PacketPlace::Large(large) if large.has_begun => {
                self.body.append_promised(&mut large.reservation, data)
            }
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
        early.hand_on(|bytes| self.accept(bytes, 0))
    }

    /// Bytes came, the first few of which are not held by the window.
    pub fn accept(&self, bytes: &mut [u8], unheld: usize) -> Result<(), Fault> {
        let mut inbound = self.inbound.borrow_mut();
        match &mut inbound.local {
            Local::Opening(early) => {
                let early = early.get_or_insert_default();
                early.append(&self.link.connection.context.buffers, bytes);
            }
            Local::Packets(_) => {
                self.take_packets(&mut inbound, bytes, unheld)?;
                self.settle_in(&mut inbound);
                let lost = self.ask_for_room(&mut inbound);
                drop(inbound);
                self.lose_room(lost);
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

    fn take_packets(
        &self,
        inbound: &mut Inbound,
        bytes: &mut [u8],
        mut unheld: usize,
    ) -> Result<(), Fault> {
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
                        let own = unheld.min(data.len());
                        unheld -= own;
                        packet.append(&context.buffers, data, own);
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
            held: 0,
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
        inbound.unsettled += packet.held as u32;
        if matches!(packet.place, PacketPlace::Large(_)) {
            self.link.forget_large(self.flow.number);
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

    /// The packet that is being collected may come, unless the session takes no
    /// more meanwhile.
    pub fn may_come(&self, under_way: UnderWay) {
        let mut inbound = self.inbound.borrow_mut();
        let is_welcome = self.poll_welcome(&mut inbound);
        let Some(packet) = &mut inbound.collecting else {
            return;
        };
        if !is_welcome {
            packet.place = PacketPlace::Unwelcome;
            self.link.forget_large(self.flow.number);
            return;
        }
        let link = &self.link.connection;
        let missing = packet.len.saturating_sub(packet.body.len());
        let front = User(link.account.user() as u64);
        let to = Destination::dc(self.dc());
        let Some(reservation) = link.context.buffers.announce(front, to, missing) else {
            // All buffers together are smaller than this packet.
            drop(inbound);
            return self.finish(EndReason::NoConnection);
        };
        packet.place = PacketPlace::Large(Large {
            reservation,
            has_begun: false,
            is_waiting: false,
            _under_way: under_way,
        });
        drop(inbound);
        self.find_room();
    }

    /// There may be buffers for the packet that comes, or it has to give up what it
    /// has.
    pub fn find_room(&self) {
        let lost = self.ask_for_room(&mut self.inbound.borrow_mut());
        self.lose_room(lost);
    }

    /// Asks for buffers for what is here of a large packet, and for more to come: a
    /// good front has all of it and sends it as soon as it may.
    fn ask_for_room(&self, inbound: &mut Inbound) -> Option<Revocation> {
        let link = &self.link.connection;
        let packet = inbound.collecting.as_mut()?;
        let PacketPlace::Large(large) = &mut packet.place else {
            return None;
        };
        let cx = &mut Context::from_waker(self.link.buffers_waker());
        if let Poll::Ready(reason) = large.reservation.poll_revoked(cx) {
            return Some(reason);
        }
        let worth = link.sizes.first as usize / 2;
        let here = packet.body.len();
        let missing = packet.len.saturating_sub(here);
        let (granted, reserved) = self.flow.granted();
        let to = Destination::dc(self.dc());
        let ahead = || {
            let left = link.account.with(|whole, _| whole.hold_room());
            let free = link.context.buffers.reservable_bytes(to);
            (free.saturating_sub(left) / LEAD).min(missing)
        };
        let more = ahead().saturating_sub(reserved);
        let is_short = packet.held > 0 && (packet.held >= worth || granted < worth);
        let is_worth_it = more > 0 && more >= worth.min(missing.saturating_sub(reserved));
        if !large.is_waiting && !is_short && !is_worth_it {
            return None;
        }
        match large.reservation.poll_room(cx) {
            Poll::Ready(Ok(())) => {
                (large.has_begun, large.is_waiting) = (true, false);
                let more = ahead().saturating_sub(reserved);
                large.reservation.set_aside(more);
                large.reservation.give_time(link.round_trip());
                let have = mem::take(&mut packet.held);
                self.flow.reserved(link, have, more);
                None
            }
            Poll::Ready(Err(reason)) => Some(reason),
            Poll::Pending => {
                large.is_waiting = true;
                None
            }
        }
    }

    /// The buffers of its packet are for others: the stream is over.
    fn lose_room(&self, lost: Option<Revocation>) {
        if let Some(reason) = lost {
            self.link
                .fronts
                .revoked(&self.link.connection.account, reason);
            self.finish(EndReason::TooSlow);
        }
    }

    /// The session may take more: gives the credit that was kept back.
    pub fn settle(&self) {
        let mut inbound = self.inbound.borrow_mut();
        inbound.is_stalled = false;
        self.settle_in(&mut inbound);
    }

    /// Gives back credit, and asks for buffers, if the session takes more.
    fn settle_in(&self, inbound: &mut Inbound) {
        // Not one that is only announced.
        let begun = self.link.connection.sizes.first as usize / 2;
        let is_unwelcome = |packet: &Collecting| {
            let is_begun = packet.body.len() + PACKET_HEADER_LEN >= begun;
            is_begun && matches!(packet.place, PacketPlace::Unwelcome)
        };
        let has_wish = inbound
            .collecting
            .as_ref()
            .is_some_and(|one| is_unwelcome(one));
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
