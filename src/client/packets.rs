//! The relay of a client whose packets or bytes go to a stream of the backend.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::deadlines::{Deadlines, Due, Watched};
use super::inlet::Inlet;
use super::out::ClientOut;
use super::unframe::Unframer;
use crate::backend::{Body, Packet, SessionEnd, Sink, Stream};
use crate::metrics::{CloseReason, Revocation};
use crate::net::{READS_PER_TURN, SCRATCH_LEN};
use crate::wire::packet_meter::PacketMeter;
use crate::wire::transport::MAX_PACKET;

/// With so many bytes of the buffers free, any packet that begins in a full read has
/// room.
const PLENTY: usize = MAX_PACKET + 2 * SCRATCH_LEN;

/// Relays between a client and a [`Stream`] of packets or bytes.
///
/// The way to Telegram runs in the client's task; the way back is written by
/// whoever feeds the [`ClientOut`], and this task only flushes what was left.
pub(super) struct StreamRelay {
    out: Rc<ClientOut>,
    inlet: Inlet,
    stream: Box<dyn Stream>,
    content: Carries,
    /// Nothing is read because of us or Telegram.
    is_held_up: bool,
    /// It has hung up meanwhile.
    is_gone: bool,
    deadlines: Deadlines,
}

/// What the stream carries.
pub(super) enum Carries {
    Packets(Unframer),
    Bytes(PacketMeter),
}

/// How reading went.
#[derive(PartialEq, Eq)]
enum ReadOutcome {
    /// There is nothing to read.
    Drained,
    /// Telegram's side or the buffers have no room.
    HeldUp,
    /// There may be more, but others wait.
    More,
}

impl StreamRelay {
    pub(crate) fn new(
        out: Rc<ClientOut>,
        inlet: Inlet,
        stream: Box<dyn Stream>,
        content: Carries,
    ) -> Self {
        Self {
            deadlines: Deadlines::new(&out.context.reactor),
            out,
            inlet,
            stream,
            content,
            is_held_up: false,
            is_gone: false,
        }
    }

    pub(crate) fn carries_packets(&self) -> bool {
        matches!(self.content, Carries::Packets(_))
    }

    /// Runs until there is a reason to close the client.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.out.park(cx.waker());
        if let Some(reason) = self.out.revoked() {
            return Poll::Ready(reason);
        }
        if let Poll::Ready(reason) = self.poll_out(cx) {
            return Poll::Ready(reason);
        }
        if self.out.session_end().is_none() {
            match self.poll_in(cx) {
                Ok(turn) => self.note(turn, cx),
                Err(reason) => return Poll::Ready(reason),
            }
        }
        loop {
            let watched = self.watched();
            match ready!(self.deadlines.poll(cx, &self.out, watched)) {
                Due::Close(reason) => return Poll::Ready(reason),
                Due::Hibernate => {
                    self.inlet.hibernate();
                    self.out.hibernate();
                }
                Due::LetGo => self.out.let_go(),
            }
        }
    }

    /// Flushes what is left for the client; ready with the reason to close.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let end = self.out.session_end();
        if let Some(end) = end
            && end != SessionEnd::ClosedByTelegram
        {
            return Poll::Ready(end.into());
        }
        match (self.out.poll_flush(cx), end) {
            (Poll::Ready(Err(reason)), _) => return Poll::Ready(reason),
            (Poll::Ready(Ok(())), Some(end)) => return Poll::Ready(end.into()),
            _ => {}
        }
        if self.out.take_resume() {
            self.stream.resume();
        }
        Poll::Pending
    }

    /// Reads what there is while Telegram's side takes it.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Result<ReadOutcome, CloseReason> {
        let context = self.out.context.clone();
        for _ in 0..READS_PER_TURN {
            if let Some(reason) = self.out.revoked() {
                return Err(reason);
            }
            if let Some(turn) = self.find_room(cx)? {
                return Ok(turn);
            }
            let Poll::Ready(limit) = self.poll_welcome(cx) else {
                return Ok(ReadOutcome::HeldUp);
            };
            let read = context.scratch.with(|buffer| {
                let limit = limit.min(buffer.len());
                self.poll_read(cx, buffer.get_mut(..limit).unwrap_or_default())
            });
            match read.transpose()? {
                Some(Poll::Ready(())) => {}
                _ => return Ok(ReadOutcome::Drained),
            }
        }
        Ok(ReadOutcome::More)
    }

    fn note(&mut self, turn: ReadOutcome, cx: &mut Context<'_>) {
        if turn == ReadOutcome::More {
            cx.waker().wake_by_ref();
        }
        let was_held_up = self.is_held_up;
        self.is_held_up = turn == ReadOutcome::HeldUp;
        // Who only has to keep to a rate is read to its end.
        let is_stuck = self.is_held_up && self.out.paused_until().is_none();
        self.is_gone = is_stuck && self.out.end.poll_hung_up(cx).is_ready();
        if was_held_up != self.is_held_up {
            // From here on it is the client's time again, or not its own.
            self.out.last_read.set(self.out.context.reactor.now());
        }
    }

    /// How much may be read. A packet that has begun is read to its end whatever
    /// the stream or the secret's rate says, because buffers held by half a packet
    /// would never come free otherwise; but then nothing behind it.
    fn poll_welcome(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let is_paused = self.out.paused_until().is_some();
        let is_welcome = !is_paused && self.stream.poll_ready(cx).is_ready();
        let limit = match &self.content {
            Carries::Packets(unframer) if unframer.is_collecting() && !is_welcome => {
                unframer.wanted()
            }
            _ if !is_welcome => return Poll::Pending,
            // When buffers are short, no byte of a packet before its room is
            // there.
            Carries::Packets(unframer) if !self.has_plenty(unframer) => unframer.wanted(),
            _ => SCRATCH_LEN,
        };
        Poll::Ready(limit.min(self.out.read_limit()))
    }

    fn has_plenty(&self, unframer: &Unframer) -> bool {
        let buffers = &self.out.context.buffers;
        let reservable = buffers.reservable_bytes(unframer.destination());
        reservable >= PLENTY.min(buffers.max_reservable_bytes())
    }

    /// Room for the packet that has begun; without it, why there is nothing to
    /// read. Only who has sent something waits, and makes others go.
    fn find_room(&mut self, cx: &mut Context<'_>) -> Result<Option<ReadOutcome>, CloseReason> {
        let Carries::Packets(unframer) = &self.content else {
            return Ok(None);
        };
        let Some(reservation) = unframer.reservation() else {
            return Ok(None);
        };
        if let Poll::Ready(reason) = reservation.poll_revoked(cx) {
            return Err(self.lose_room(reason));
        }
        if reservation.has_room() {
            return Ok(None);
        }
        let enough = unframer.wanted().min(reservation.worth_waiting());
        match self.out.end.poll_filled(cx, enough) {
            Poll::Pending => {
                reservation.expect_more(cx);
                return Ok(Some(ReadOutcome::Drained));
            }
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(CloseReason::ClientBroken),
        }
        match reservation.poll_room(cx) {
            Poll::Ready(Ok(())) => Ok(None),
            Poll::Ready(Err(reason)) => Err(self.lose_room(reason)),
            Poll::Pending => {
                if !self.is_held_up {
                    self.out.context.metrics.buffer_waits.inc();
                }
                Ok(Some(ReadOutcome::HeldUp))
            }
        }
    }

    fn lose_room(&self, reason: Revocation) -> CloseReason {
        let context = &self.out.context;
        context.metrics.buffer_revocations.inc(reason);
        if let Some(skipped) = context.buffers_log.pass(context.reactor.now()) {
            warn!(
                "buffers are short: a client's unfinished packet is given up, {reason}{skipped}; a larger --buffers has room for more"
            );
        }
        CloseReason::HeldBuffers
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Result<Poll<()>, CloseReason> {
        let length = match self.out.end.poll_read(cx, space) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => return Err(CloseReason::ClientClosed),
            Poll::Ready(Ok(length)) => length,
            Poll::Ready(Err(_)) => return Err(CloseReason::ClientBroken),
        };
        self.out.last_read.set(self.out.context.reactor.now());
        self.out.wake_up();
        let received = space.get_mut(..length).unwrap_or_default();
        let plain = self.inlet.open(received)?;
        let packets = self.push(plain)?;
        let metrics = &self.out.context.metrics;
        metrics.client_bytes_in.add(length as u64);
        self.out.spend(length);
        metrics.client_packets_in.add(packets);
        Ok(Poll::Ready(()))
    }

    /// Hands on what was read; how many packets that was.
    fn push(&mut self, plain: &[u8]) -> Result<u64, CloseReason> {
        let unframer = match &mut self.content {
            Carries::Packets(unframer) => unframer,
            Carries::Bytes(meter) => {
                let packets = meter.pass(plain)?;
                if !plain.is_empty() {
                    self.stream.push(Packet {
                        quick_ack: false,
                        body: Body::Slice(plain),
                    });
                }
                return Ok(packets);
            }
        };
        let buffers = &self.out.context.buffers;
        let mut input = plain;
        let mut packets = 0;
        while let Some(packet) = unframer.next(&mut input, buffers)? {
            packets += 1;
            self.stream.push(packet);
        }
        Ok(packets)
    }

    fn watched(&self) -> Watched {
        let is_collecting =
            matches!(&self.content, Carries::Packets(unframer) if unframer.is_collecting());
        Watched {
            awake: !self.out.is_asleep(),
            undelivered: self.out.undelivered() > 0,
            unfinished: is_collecting && !self.is_held_up,
            held_up: self.is_held_up,
            gone: self.is_gone,
            starved: self.out.is_starved(),
            paused: self.out.paused_until().is_some(),
            held: self.out.held_until().is_some(),
        }
    }
}
