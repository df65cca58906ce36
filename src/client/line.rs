//! The relay of a client that has a connection to a DC for itself.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::deadlines::{Deadlines, Due, Watched};
use super::inlet::Inlet;
use super::out::ClientOut;
use crate::backend::Sink;
use crate::connection::OnTrial;
use crate::metrics::CloseReason;
use crate::net::{Bulk, CHUNK_LEN, READS_PER_TURN};
use crate::wire::packet_meter::PacketMeter;

/// Relays between a client and its own connection to a DC.
///
/// What the DC sends is encrypted for the client already: with splice(2) it
/// does not even come to user space. For fake-TLS clients it is copied: a
/// splice per record, with its header written before, takes a third more time
/// than a read and a vectored write of four records. What the client sends is
/// encrypted anew.
pub(super) struct LineRelay {
    out: Rc<ClientOut>,
    inlet: Inlet,
    meter: PacketMeter,
    dc: OnTrial,
    /// From the DC, while it comes in bulk.
    bulk: Bulk,
    /// Neither side was read for lack of buffers.
    is_starved: bool,
    /// The client has hung up while it cannot be read.
    is_gone: bool,
    deadlines: Deadlines,
}

type Progress = Result<Poll<()>, CloseReason>;

impl LineRelay {
    pub(crate) fn new(out: Rc<ClientOut>, inlet: Inlet, meter: PacketMeter, dc: OnTrial) -> Self {
        Self {
            deadlines: Deadlines::new(&out.context.reactor),
            out,
            inlet,
            meter,
            dc,
            bulk: Bulk::default(),
            is_starved: false,
            is_gone: false,
        }
    }

    /// Runs until there is a reason to close the client.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.out.park(cx.waker());
        if let Some(reason) = self.out.revoked() {
            return Poll::Ready(reason);
        }
        self.is_starved = false;
        self.is_gone = false;
        for direction in [Self::poll_to_client, Self::poll_to_dc] {
            match self.take_turn(cx, direction) {
                Ok(()) => {}
                Err(reason) => return Poll::Ready(reason),
            }
        }
        if self.dc.poll_over(cx).is_ready() {
            return Poll::Ready(CloseReason::RouteFailed);
        }
        loop {
            let watched = self.watched();
            match ready!(self.deadlines.poll(cx, &self.out, watched)) {
                Due::Close(reason) => return Poll::Ready(reason),
                Due::Hibernate => {
                    self.inlet.hibernate();
                    self.dc.hibernate();
                    self.out.hibernate();
                }
                Due::LetGo => self.out.let_go(),
            }
        }
    }

    fn take_turn(
        &mut self,
        cx: &mut Context<'_>,
        step: fn(&mut Self, &mut Context<'_>) -> Progress,
    ) -> Result<(), CloseReason> {
        for _ in 0..READS_PER_TURN {
            if let Some(reason) = self.out.revoked() {
                return Err(reason);
            }
            if step(self, cx)?.is_pending() {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// One read from the DC, once the client has what was read before.
    fn poll_to_client(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.drain_pipe(cx)?.is_pending() || self.flush(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        if self.bulk.has_ended() {
            return Err(CloseReason::ClosedByTelegram);
        }
        if self.out.paused_until().is_some() {
            return Ok(Poll::Pending);
        }
        if self.bulk.wants_pipe() && self.may_splice() {
            self.bulk.lend(self.out.context.pipes.take());
        }
        match self.bulk.has_pipe() {
            true => self.splice(cx),
            false => self.copy(cx),
        }
    }

    /// Neither side's bytes are looked at.
    fn may_splice(&self) -> bool {
        self.out.end.as_socket().is_some()
            && !self.out.is_wrapped_in_records()
            && self.dc.as_socket().is_some()
    }

    fn splice(&mut self, cx: &mut Context<'_>) -> Progress {
        let Some(dc) = self.dc.as_socket() else {
            return self.copy(cx);
        };
        let most = self.out.read_limit();
        let length = match self.bulk.poll_fill(cx, dc, most) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(Some(length))) => length,
            Poll::Ready(Ok(None)) => return self.copy(cx),
            Poll::Ready(Err(_)) => return Err(CloseReason::NoConnection),
        };
        self.dc.came(length);
        self.received(length);
        if length > 0
            && let Some(socket) = self.out.end.as_socket()
        {
            let written = self.bulk.try_drain(socket, length);
            let written = written.map_err(|_| CloseReason::ClientBroken)?;
            self.out.wrote(written.unwrap_or(0));
        }
        Ok(Poll::Ready(()))
    }

    fn drain_pipe(&mut self, cx: &mut Context<'_>) -> Progress {
        while !self.bulk.is_empty() {
            if let Some(reason) = self.out.revoked() {
                return Err(reason);
            }
            // Only what goes to a connection went into a pipe.
            let Some(socket) = self.out.end.as_socket() else {
                break;
            };
            if socket.poll_writable(cx).is_pending() {
                return Ok(Poll::Pending);
            }
            let most = self.out.read_limit();
            match self.bulk.try_drain(socket, most) {
                Ok(Some(0)) => {}
                Ok(Some(written)) => self.out.wrote(written),
                Ok(None) if self.copy_from_pipe(cx)?.is_pending() => return Ok(Poll::Pending),
                Ok(None) => {}
                Err(_) => return Err(CloseReason::ClientBroken),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Hands on a chunk of what came by splice(2) and cannot go on like that.
    fn copy_from_pipe(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.flush(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let Some(room) = self.find_room() else {
            return Ok(Poll::Pending);
        };
        let mut chunk = [0; CHUNK_LEN];
        let space = chunk.get_mut(..room.min(CHUNK_LEN)).unwrap_or_default();
        let length = self.bulk.take_out(space);
        let length = length.map_err(|_| CloseReason::NoConnection)?;
        // All of it has room: nothing is queued.
        self.out
            .offer(space.get_mut(..length).unwrap_or_default(), usize::MAX);
        Ok(Poll::Ready(()))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Progress {
        match self.out.poll_flush(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(flushed) => flushed.map(Poll::Ready),
        }
    }

    fn copy(&mut self, cx: &mut Context<'_>) -> Progress {
        let context = self.out.context.clone();
        // What is read has room only while the kernel takes some of it.
        if self.out.end.poll_writable(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        let Some(room) = self.find_room() else {
            return Ok(Poll::Pending);
        };
        let read = context.scratch.with(|buffer| {
            let mut take = |data: &mut [u8]| {
                // All of it has room: nothing is queued, and see `room`.
                self.out.offer(data, usize::MAX);
            };
            let length = match self.dc.poll_read(cx, buffer, room, &mut take) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(length)) => length,
                Poll::Ready(Err(_)) => return Err(CloseReason::NoConnection),
            };
            self.received(length);
            Ok(Poll::Ready(()))
        });
        read.unwrap_or(Ok(Poll::Pending))
    }

    fn received(&mut self, length: usize) {
        self.bulk.came(length);
        self.out.context.metrics.dc_bytes_in.add(length as u64);
    }

    /// One read from the client, once the DC has what was read before.
    fn poll_to_dc(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.flush_to_dc(cx)?.is_pending() {
            return Ok(self.hold_up(cx));
        }
        if self.out.paused_until().is_some() {
            return Ok(Poll::Pending);
        }
        let context = self.out.context.clone();
        let Some(room) = self.find_room() else {
            return Ok(self.hold_up(cx));
        };
        let read = context.scratch.with(|buffer| {
            let limit = room.min(buffer.len());
            let space = buffer.get_mut(..limit).unwrap_or_default();
            let length = match self.out.end.poll_read(cx, space) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(CloseReason::ClientClosed),
                Poll::Ready(Ok(length)) => length,
                Poll::Ready(Err(_)) => return Err(CloseReason::ClientBroken),
            };
            self.out.last_read.set(context.reactor.now());
            self.out.wake_up();
            context.metrics.client_bytes_in.add(length as u64);
            self.out.spend(length);
            self.forward(space.get_mut(..length).unwrap_or_default())?;
            Ok(Poll::Ready(()))
        });
        read.unwrap_or(Ok(Poll::Pending))
    }

    /// The client is not read for now; it may leave all the same.
    fn hold_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.is_gone = self.out.end.poll_hung_up(cx).is_ready();
        Poll::Pending
    }

    fn forward(&mut self, received: &mut [u8]) -> Result<(), CloseReason> {
        let context = &self.out.context;
        let data = self.inlet.open(received)?;
        context
            .metrics
            .client_packets_in
            .add(self.meter.pass(data)?);
        let sent = self.dc.send(&context.buffers, data);
        sent.map_err(|_| CloseReason::NoConnection)?;
        context.metrics.dc_bytes_out.add(data.len() as u64);
        Ok(())
    }

    fn flush_to_dc(&mut self, cx: &mut Context<'_>) -> Progress {
        let flushed = self.dc.flush(cx);
        flushed.map_err(|_| CloseReason::NoConnection)?;
        Ok(match self.dc.is_flushed() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }

    /// How much may be read so that it has room if the kernel takes none of
    /// it.
    fn find_room(&mut self) -> Option<usize> {
        let overdraft = if self.out.has_room() { CHUNK_LEN } else { 0 };
        let room = self.out.context.buffers.free_bytes().max(overdraft);
        let room = room.min(self.out.read_limit());
        self.is_starved |= room == 0;
        (room > 0).then_some(room)
    }

    fn watched(&self) -> Watched {
        Watched {
            awake: !self.out.is_asleep(),
            undelivered: self.bulk.len() + self.out.undelivered() > 0,
            unfinished: false,
            held_up: false,
            gone: self.is_gone,
            starved: self.is_starved,
            paused: self.out.paused_until().is_some(),
            held: self.out.held_until().is_some(),
        }
    }
}
