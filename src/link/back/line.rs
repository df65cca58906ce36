use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::taker::{News, Taker};
use super::tie::Tie;
use crate::backend::Sink;
use crate::connection::OnTrial;
use crate::link::LinkContext;
use crate::link::connection::{ALLOWANCE, ONE_WRITE};
use crate::link::fault::Fault;
use crate::net::READS_PER_TURN;
use crate::wire::link::EndReason;

/// A key schedule takes up to 1 KiB. It is kept for a client that sends so many bytes
/// between two ticks of the link; for fewer it is made anew each time, so that a
/// thousand clients that only say they are there need none.
const WORTH_EXPANDING: u32 = 4096;

/// A client's own connection to a DC, on the back. The link's task writes to it what the
/// front sends; a task of the line's own reads it.
pub(super) struct LineEnd {
    dc: OnTrial,
    task: Option<Waker>,
    /// Bytes since the last tick.
    recent: u32,
}

impl LineEnd {
    pub(crate) fn new(mut dc: OnTrial) -> Self {
        dc.hibernate();
        Self {
            dc,
            task: None,
            recent: 0,
        }
    }

    /// Encrypts and sends the client's bytes; returns how many the kernel took. The rest
    /// waits for the line's task, which also finds out about errors.
    fn write(&mut self, context: &LinkContext, bytes: &mut [u8]) -> usize {
        self.recent = self.recent.saturating_add(bytes.len() as u32);
        context.metrics.dc_bytes_out.add(bytes.len() as u64);
        let written = self.dc.send(&context.buffers, bytes).unwrap_or(0);
        if self.recent < WORTH_EXPANDING {
            self.dc.hibernate();
        }
        if written < bytes.len() || self.dc.is_to_be_asked() {
            self.wake();
        }
        written
    }

    fn wake(&self) {
        if let Some(waker) = &self.task {
            waker.wake_by_ref();
        }
    }

    fn rest(&mut self) {
        if mem::take(&mut self.recent) < WORTH_EXPANDING {
            self.dc.hibernate();
        }
    }
}

impl Taker for LineEnd {
    fn take(&mut self, bytes: &mut [u8], _: usize, tie: &Tie) -> Result<(), Fault> {
        let written = self.write(&tie.connection().context, bytes);
        tie.settled(written);
        Ok(())
    }

    fn hear(&mut self, news: News, _: &Tie) {
        match news {
            News::Resume => self.wake(),
            News::Tick => self.rest(),
            News::Room | News::Buffers => {}
        }
    }

    /// Writes what the link's task could not.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        self.task = Some(cx.waker().clone());
        let flushed = self.dc.flush(cx);
        match self.dc.poll_over(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => flushed,
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        self.dc.poll_read(cx, space, most, take)
    }
}

/// A stream whose taker is a line.
pub(super) trait LineStream: Sink {
    fn context(&self) -> &LinkContext;

    /// [`Taker::flush`] of the line.
    fn flush(&self, cx: &mut Context<'_>) -> io::Result<()>;

    /// [`Taker::poll_read`] of the line.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>>;

    /// How much of `wanted` bytes would be taken now.
    fn room(&self, wanted: usize, allowance: usize) -> usize;

    /// Wakes the line when there is room again.
    fn want_room(&self);

    /// The line is over.
    fn end_line(&self, reason: EndReason);
}

/// Relays between a line and its stream until one of them ends. It has a task of its own,
/// because the one that opened the line takes more memory than this needs.
pub(super) async fn relay<S: LineStream>(stream: Rc<S>) {
    let reason = poll_fn(|cx| poll(&*stream, cx)).await;
    stream.end_line(reason);
}

fn poll<S: LineStream>(stream: &S, cx: &mut Context<'_>) -> Poll<EndReason> {
    if stream.flush(cx).is_err() {
        return Poll::Ready(EndReason::NoConnection);
    }
    let context = stream.context();
    for _ in 0..READS_PER_TURN {
        let room = stream.room(ONE_WRITE, ALLOWANCE);
        if room == 0 {
            stream.want_room();
            return Poll::Pending;
        }
        let read = context.scratch.with(|buffer| {
            stream.poll_read(cx, buffer, room, &mut |data| {
                context.metrics.dc_bytes_in.add(data.len() as u64);
                // All of it has room.
                stream.offer(data, ALLOWANCE);
            })
        });
        match read {
            Some(Poll::Ready(Ok(0))) => return Poll::Ready(EndReason::ClosedByTelegram),
            Some(Poll::Ready(Ok(_))) => {}
            Some(Poll::Ready(Err(_))) => return Poll::Ready(EndReason::NoConnection),
            Some(Poll::Pending) | None => return Poll::Pending,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
