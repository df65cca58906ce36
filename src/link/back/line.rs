use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::inbound::Local;
use super::stream::BackStream;
use crate::backend::{Line, Sink};
use crate::link::LinkContext;
use crate::link::connection::ONE_WRITE;
use crate::net::{Enciphered, READS_PER_TURN};
use crate::wire::link::EndReason;

/// What a line may queue beyond the credit of its stream.
const ALLOWANCE: usize = 64 * 1024;

/// Bytes between two ticks of the link that are worth a kept key schedule of up
/// to 1 KiB: fewer are encrypted with one made for them, so that a thousand
/// clients that only say they are there need none.
const WORTH_EXPANDING: u32 = 4096;

/// A DC's own connection: the link's task writes to it, the line's reads.
pub(super) struct LineEnd {
    dc: Enciphered,
    task: Option<Waker>,
    /// Bytes since the last tick.
    recent: u32,
}

impl LineEnd {
    /// Encrypts and sends the client's bytes; how many the kernel took: the rest
    /// waits for the line's task. An error is that task's to find.
    pub fn write(&mut self, context: &LinkContext, bytes: &mut [u8]) -> usize {
        self.recent = self.recent.saturating_add(bytes.len() as u32);
        context.metrics.dc_bytes_out.add(bytes.len() as u64);
        let written = self.dc.send(&context.buffers, bytes).unwrap_or(0);
        if self.recent < WORTH_EXPANDING {
            self.dc.hibernate();
        }
        if written < bytes.len() {
            self.wake();
        }
        written
    }

    pub fn wake(&self) {
        if let Some(waker) = &self.task {
            waker.wake_by_ref();
        }
    }

    pub fn rest(&mut self) {
        if mem::take(&mut self.recent) < WORTH_EXPANDING {
            self.dc.hibernate();
        }
    }
}

/// Relays between a line and its stream until one of them ends: in a task of
/// its own, because what opened the line needs more memory.
pub(super) fn start(stream: &Rc<BackStream>, line: Line) {
    if stream.is_over() {
        return;
    }
    let mut dc = Enciphered::new(line.socket, line.to_dc);
    dc.hibernate();
    stream.begin(Local::Line(Box::new(LineEnd {
        dc,
        task: None,
        recent: 0,
    })));
    let relayed = stream.clone();
    let relaying = poll_fn(move |cx| {
        poll(&relayed, cx).map(|reason| match reason {
            EndReason::ClosedByTelegram => relayed.end_after_queue(reason),
            _ => relayed.finish(reason),
        })
    });
    let executor = &stream.link.connection.context.executor;
    stream.set_task(executor.spawn(relaying));
}

fn poll(stream: &BackStream, cx: &mut Context<'_>) -> Poll<EndReason> {
    if flush(stream, cx).is_err() {
        return Poll::Ready(EndReason::NoConnection);
    }
    let context = &stream.link.connection.context;
    for _ in 0..READS_PER_TURN {
        let room = stream.room(ONE_WRITE, ALLOWANCE);
        if room == 0 {
            stream.want_room();
            return Poll::Pending;
        }
        let read = context.scratch.with(|buffer| {
            let space = buffer.get_mut(..room).unwrap_or_default();
            let read = read(stream, cx, space);
            if let Poll::Ready(Ok(length)) = read {
                context.metrics.dc_bytes_in.add(length as u64);
                // All of it has room.
                stream.offer(space.get_mut(..length).unwrap_or_default(), ALLOWANCE);
            }
            read
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

fn read(stream: &BackStream, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
    match &stream.inbound.borrow().local {
        Local::Line(line) => line.dc.socket().poll_read(cx, space),
        // It is being dropped, and this task with it.
        _ => Poll::Pending,
    }
}

/// Writes what the link's task could not.
fn flush(stream: &BackStream, cx: &mut Context<'_>) -> io::Result<()> {
    let mut inbound = stream.inbound.borrow_mut();
    let Local::Line(line) = &mut inbound.local else {
        return Ok(());
    };
    line.task = Some(cx.waker().clone());
    let total = line.dc.flush(cx)?;
    drop(inbound);
    stream.settled(total);
    Ok(())
}
