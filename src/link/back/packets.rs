//! What a front sends for a session of packets, on its way to Telegram. Its bytes
//! are held by the stream's window ([`Window`]) until they have left here:
//!
//! - packets, once the session has them and takes more (`unsettled`);
//! - a packet that is longer than what its window is sure to bring waits until the
//!   session takes more. Then it gets buffers of its own, and credit for all of it.
//!
//! [`Window`]: crate::wire::link::window::Window

use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::taker::{News, Taker};
use super::tie::Tie;
use super::wish::{UnderWay, Wish};
use crate::backend::{Body, Packet, Stream};
use crate::link::fault::Fault;
use crate::link::notes::Note;
use crate::metrics::Revocation;
use crate::net::{BufferPool, Destination, Reservation, Rope, User};
use crate::wire::link::packets::{PACKET_HEADER_LEN, PacketPart, PacketReader};
use crate::wire::link::{EndReason, LinkError};
use crate::wire::transport::MAX_PACKET;

/// A large packet may ask for buffers before its bytes come, up to the free ones divided
/// by this.
const LEAD: usize = 2;

/// Takes the bytes of a stream whose session wants packets.
pub(super) struct Packets {
    session: Box<dyn Stream>,
    reader: PacketReader,
    /// A packet of which only a part has come. When it is whole its box stays for the
    /// next one until the link's next tick.
    collecting: Option<Box<Collecting>>,
    /// Large packets so far.
    large: u32,
    /// Bytes that the session has, for which no credit was given yet: it gets none while
    /// it takes no more.
    unsettled: u32,
    is_stalled: bool,
}

#[derive(Default)]
struct Collecting {
    quick_ack: bool,
    /// 0: there is none.
    len: usize,
    body: Rope,
    /// Bytes of it that its window holds.
    held: usize,
    stage: PacketStage,
}

/// How far a packet is with its buffers.
#[derive(Default)]
enum PacketStage {
    /// Its window is large enough for it.
    #[default]
    Window,
    /// It is larger, and has to wait until the session takes more.
    Unwelcome,
    /// The session takes it, and it waits in the link's list for other large packets.
    Awaited,
    /// It comes, and takes buffers of its own.
    Large(Large),
}

impl PacketStage {
    /// The link has it in a list.
    fn is_listed(&self) -> bool {
        matches!(self, Self::Awaited | Self::Large(_))
    }
}

/// The buffers of a packet that is larger than its window.
struct Large {
    reservation: Reservation,
    /// It has got buffers once: from then on all of it comes.
    has_begun: bool,
    is_waiting: bool,
    _under_way: UnderWay,
}

impl Collecting {
    /// Bytes of it came, some of which are not held by the window.
    fn append(&mut self, pool: &Rc<BufferPool>, data: &[u8], unheld: usize) {
        self.held += data.len() - unheld;
        let promised = match &mut self.stage {
            PacketStage::Large(large) if large.has_begun => {
                self.body.append_promised(&mut large.reservation, data)
            }
            _ => 0,
        };
        let rest = data.get(promised..).unwrap_or_default();
        self.body.append_overdrawn(pool, rest);
    }
}

impl Packets {
    pub(crate) fn new(session: Box<dyn Stream>) -> Self {
        Self {
            session,
            reader: PacketReader::default(),
            collecting: None,
            large: 0,
            unsettled: 0,
            is_stalled: false,
        }
    }

    fn read(&mut self, bytes: &mut [u8], mut unheld: usize, tie: &Tie) -> Result<(), Fault> {
        let mut input = bytes;
        let mut is_whole_acked = false;
        while let Some(part) = self.reader.next(&mut input, MAX_PACKET)? {
            match part {
                PacketPart::Begin { len, .. } if len == 0 || len % 4 != 0 => {
                    return Err(LinkError::Packet(len).into());
                }
                PacketPart::Begin { len, quick_ack } => {
                    self.unsettled += PACKET_HEADER_LEN as u32;
                    is_whole_acked = quick_ack;
                    if input.len() < len {
                        self.collect(len, quick_ack, tie);
                    }
                }
                PacketPart::Bytes(data) => match self.collecting() {
                    Some(packet) => {
                        let own = unheld.min(data.len());
                        unheld -= own;
                        packet.append(&tie.connection().context.buffers, data, own);
                    }
                    None => {
                        let length = data.len();
                        self.session.push(Packet {
                            quick_ack: is_whole_acked,
                            body: Body::Slice(data),
                        });
                        self.unsettled += length as u32;
                    }
                },
                PacketPart::End => self.push_collected(tie),
            }
        }
        Ok(())
    }

    /// The packet that has begun to come.
    fn collecting(&mut self) -> Option<&mut Collecting> {
        let packet = self.collecting.as_deref_mut();
        packet.filter(|packet| packet.len > 0)
    }

    fn collect(&mut self, len: usize, quick_ack: bool, tie: &Tie) {
        let sure = tie.flow.sure_window(tie.connection());
        let is_large = len + PACKET_HEADER_LEN > sure;
        let packet = self.collecting.get_or_insert_default();
        packet.quick_ack = quick_ack;
        packet.len = len;
        if is_large {
            packet.stage = PacketStage::Unwelcome;
            self.large = self.large.wrapping_add(1);
        }
    }

    fn push_collected(&mut self, tie: &Tie) {
        let Some(packet) = self.collecting() else {
            return;
        };
        let Collecting {
            quick_ack,
            body,
            held,
            stage,
            ..
        } = mem::take(packet);
        self.unsettled += held as u32;
        if stage.is_listed() {
            tie.note(Note::Came);
        }
        self.session.push(Packet {
            quick_ack,
            body: Body::Rope(body),
        });
    }

    /// Asks for buffers for what is here of a large packet, and for bytes that are still
    /// to come: a good front has all of the packet and sends it as soon as it may.
    fn ask_for_room(&mut self, tie: &Tie) {
        if let Some(reason) = self.poll_revoked(tie) {
            tie.lose_buffers(reason);
        }
    }

    /// Why it has to give up what it has, if it has to.
    fn poll_revoked(&mut self, tie: &Tie) -> Option<Revocation> {
        let link = tie.connection();
        let packet = self.collecting.as_deref_mut()?;
        let PacketStage::Large(large) = &mut packet.stage else {
            return None;
        };
        let cx = &mut Context::from_waker(&tie.desk.buffers_waker);
        if let Poll::Ready(reason) = large.reservation.poll_revoked(cx) {
            return Some(reason);
        }
        let worth = link.sizes.first as usize / 2;
        let here = packet.body.len();
        let missing = packet.len.saturating_sub(here);
        let (granted, reserved) = tie.flow.granted();
        let to = Destination::dc(tie.dc);
        let ahead = || {
            let left = link.share.with(|whole, _| whole.hold_room());
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
                tie.flow.reserved(link, have, more);
                None
            }
            Poll::Ready(Err(reason)) => Some(reason),
            Poll::Pending => {
                large.is_waiting = true;
                None
            }
        }
    }

    /// Gives back credit, and asks for buffers, if the session takes more.
    fn settle(&mut self, tie: &Tie) {
        // Only when half a window of it is here, not when it is only announced.
        let begun = tie.connection().sizes.first as usize / 2;
        let is_unwelcome = |packet: &Collecting| {
            let is_begun = packet.body.len() + PACKET_HEADER_LEN >= begun;
            is_begun && matches!(packet.stage, PacketStage::Unwelcome)
        };
        let collecting = self.collecting.as_ref();
        let has_wish = collecting.is_some_and(|one| is_unwelcome(one));
        if self.unsettled == 0 && !has_wish || !self.poll_welcome(tie) {
            return;
        }
        let count = mem::take(&mut self.unsettled);
        tie.settled(count as usize);
        if has_wish
            && !tie.is_over()
            && let Some(packet) = self.collecting()
        {
            packet.stage = PacketStage::Awaited;
            tie.note(Note::Wants);
        }
    }

    /// Whether the session takes more; else the link looks again when it may.
    fn poll_welcome(&mut self, tie: &Tie) -> bool {
        if self.is_stalled {
            return false;
        }
        let mut cx = Context::from_waker(&tie.desk.room_waker);
        let is_ready = self.session.poll_ready(&mut cx).is_ready();
        if !is_ready {
            self.is_stalled = true;
            tie.note(Note::Stalled);
        }
        is_ready
    }
}

impl Taker for Packets {
    fn take(&mut self, bytes: &mut [u8], unheld: usize, tie: &Tie) -> Result<(), Fault> {
        self.read(bytes, unheld, tie)?;
        self.settle(tie);
        self.ask_for_room(tie);
        Ok(())
    }

    fn hear(&mut self, news: News, tie: &Tie) {
        match news {
            News::Room => {
                self.is_stalled = false;
                self.settle(tie);
            }
            News::Buffers => self.ask_for_room(tie),
            News::Resume => self.session.resume(),
            News::Tick => self.collecting = self.collecting.take().filter(|packet| packet.len > 0),
        }
    }

    fn wish(&self, tie: &Tie) -> Option<Wish> {
        let packet = self.collecting.as_ref()?;
        matches!(packet.stage, PacketStage::Awaited).then_some(Wish {
            number: tie.flow.number,
            packet: self.large,
            to: tie.dc,
            len: packet.len,
        })
    }

    /// The packet comes unless the session has stopped to take more meanwhile.
    fn may_come(&mut self, under_way: UnderWay, tie: &Tie) -> bool {
        let is_welcome = self.poll_welcome(tie);
        let Some(packet) = self.collecting() else {
            return false;
        };
        if !is_welcome {
            packet.stage = PacketStage::Unwelcome;
            return false;
        }
        let link = tie.connection();
        let missing = packet.len.saturating_sub(packet.body.len());
        let front = User(link.share.user() as u64);
        let to = Destination::dc(tie.dc);
        let Some(reservation) = link.context.buffers.announce(front, to, missing) else {
            // All buffers together are smaller than this packet.
            tie.finish(EndReason::NoConnection);
            return false;
        };
        packet.stage = PacketStage::Large(Large {
            reservation,
            has_begun: false,
            is_waiting: false,
            _under_way: under_way,
        });
        self.ask_for_room(tie);
        true
    }

    fn is_waiting(&self) -> bool {
        let collecting = self.collecting.as_ref();
        self.is_stalled || collecting.is_some_and(|packet| packet.stage.is_listed())
    }
}
