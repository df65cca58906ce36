use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::LinkContext;
use super::channel::Channel;
use super::connection::{ConnectionParts, LinkConnection};
use super::fault::Fault;
use super::handshake::Greeted;
use super::share::Share;
use crate::net::trunk::Step;
use crate::net::{READS_PER_TURN, Timer};
use crate::wire::link::{Decoder, Event, Frame};

/// What the front's half and the back's half of the proxy do differently with a link.
pub(super) trait Half {
    /// The stream of this number; `None` if it is over on this side.
    fn stream(&self, number: u32) -> Result<Option<Rc<dyn LinkStream>>, Fault>;

    /// A frame that only this side gets.
    fn frame(&self, frame: Frame) -> Result<(), Fault>;

    /// Bytes came: while more wait on this side than may, ends the stream for which most
    /// waits.
    fn evict_largest(&self);

    /// First in every turn of the link's task: what waited for other tasks, and
    /// what could not be done inside a stream.
    fn look_again(&self, cx: &mut Context<'_>) -> Result<(), Fault>;

    /// Some seconds have gone.
    fn tick(&self) {}
}

/// What a link does with the streams of either side.
pub(super) trait LinkStream {
    /// The next bytes.
    fn receive(&self, bytes: &mut [u8]) -> Result<(), Fault>;

    /// The other side takes so many more.
    fn credit(&self, bytes: u32) -> Result<(), Fault>;

    /// It may send one frame.
    fn take_turn(&self);
}

/// The task of one link: reads and sorts frames, writes what is queued, and
/// watches whether the other side is there.
pub(super) struct LinkDriver {
    link: Rc<LinkConnection>,
    channel: Channel,
    decoder: Decoder,
    /// What came behind the handshake.
    early: Vec<u8>,
    tick: Timer,
    /// The kernel has not taken everything yet.
    is_stuck: bool,
}

impl LinkDriver {
    pub(crate) fn new(
        context: &Rc<LinkContext>,
        greeted: Greeted,
        share: Share,
    ) -> (Rc<LinkConnection>, Self) {
        let link = LinkConnection::new(ConnectionParts {
            context: context.clone(),
            socket: greeted.socket,
            peer: greeted.peer,
            share,
            #[cfg(feature = "tls")]
            fingerprints: greeted.fingerprints,
            window_out: greeted.window,
            outlet: greeted.outlet,
        });
        let reactor = &context.reactor;
        let driver = Self {
            link: link.clone(),
            channel: greeted.channel,
            decoder: greeted.decoder,
            early: greeted.early,
            tick: reactor.timer(),
            is_stuck: false,
        };
        (link, driver)
    }

    /// Runs the link; returns why it ended.
    pub(crate) async fn run(&mut self, half: &dyn Half) -> Fault {
        self.tick.set(self.link.context.reactor.now());
        let mut early = std::mem::take(&mut self.early);
        let fault = match self.sort(half, &mut early) {
            Ok(()) => {
                drop(early);
                poll_fn(|cx| self.poll(cx, half)).await
            }
            Err(fault) => fault,
        };
        if let Some(refusal) = fault.refusal() {
            // The last words: lost if the kernel has no room for them.
            self.link.send(&Frame::Close(refusal));
            let _ = self.flush();
        }
        self.link.shut();
        let _ = self.link.socket.shutdown();
        fault
    }

    fn poll(&mut self, cx: &mut Context<'_>, half: &dyn Half) -> Poll<Fault> {
        if let Err(fault) = self.step(cx, half) {
            return Poll::Ready(fault);
        }
        // Only now can it be woken: what this turn itself queued has gone out with it.
        self.link.set_task(cx.waker());
        if self.link.take_look() {
            self.link.look_again();
        }
        Poll::Pending
    }

    fn step(&mut self, cx: &mut Context<'_>, half: &dyn Half) -> Result<(), Fault> {
        self.link.take_look();
        half.look_again(cx)?;
        let mut reads = 0;
        while reads < READS_PER_TURN && self.read(cx, half)? {
            reads += 1;
        }
        if reads == READS_PER_TURN {
            cx.waker().wake_by_ref();
        }
        while self.tick.poll_expired(cx).is_ready() {
            self.tick(half)?;
        }
        self.write(cx, half)?;
        // A stream may have met it in any of these.
        self.link.take_fault().map_or(Ok(()), Err)
    }

    /// False when there is nothing to read.
    fn read(&mut self, cx: &mut Context<'_>, half: &dyn Half) -> Result<bool, Fault> {
        let link = self.link.clone();
        let read = link.context.scratch.with(|buffer| {
            let Self {
                channel, decoder, ..
            } = self;
            channel.poll_read(cx, &link.socket, buffer, &mut |bytes| {
                link.context.metrics.link_bytes_in.add(bytes.len() as u64);
                sort(&link, decoder, half, bytes)
            })
        });
        match read {
            Some(Poll::Ready(heard)) => {
                heard?;
                link.hear();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn sort(&mut self, half: &dyn Half, bytes: &mut [u8]) -> Result<(), Fault> {
        let link = self.link.clone();
        sort(&link, &mut self.decoder, half, bytes)
    }

    /// Lets the streams fill the queue in turn while the kernel takes it.
    fn write(&mut self, cx: &mut Context<'_>, half: &dyn Half) -> Result<(), Fault> {
        loop {
            while !self.link.is_full()
                && let Some(stream) = self.link.next_turn()
            {
                // It may have ended since it asked for one.
                if let Ok(Some(stream)) = half.stream(stream) {
                    stream.take_turn();
                }
            }
            let is_done = self.flush()?;
            if self.link.wake_waiting() {
                cx.waker().wake_by_ref();
            }
            match is_done {
                true if self.link.has_turns() => {}
                true => return Ok(()),
                false if self.link.socket.poll_writable(cx).is_pending() => return Ok(()),
                false => {}
            }
        }
    }

    /// Whether the kernel took everything.
    fn flush(&mut self) -> Result<bool, Fault> {
        let link = self.link.clone();
        let written = link.with_out(|out| self.channel.flush(&link.socket, out))?;
        link.count_written(written);
        if self.is_stuck && written > 0 {
            link.take();
        }
        let is_done = link.with_out(|out| out.is_empty()) && self.channel.is_flushed();
        self.is_stuck = !is_done;
        Ok(is_done)
    }

    fn tick(&mut self, half: &dyn Half) -> Result<(), Fault> {
        if self.link.look() == Step::Ping {
            half.tick();
            self.link.ping();
        }
        match self.link.look() {
            Step::Wait(until) => self.tick.set(until),
            Step::Ping => {}
            Step::Dead => return Err(Fault::Silent),
        }
        Ok(())
    }
}

fn sort(
    link: &LinkConnection,
    decoder: &mut Decoder,
    half: &dyn Half,
    mut input: &mut [u8],
) -> Result<(), Fault> {
    while let Some(event) = decoder.next(&mut input)? {
        match event {
            Event::Data { stream, bytes } => {
                if let Some(stream) = half.stream(stream)? {
                    stream.receive(bytes)?;
                    half.evict_largest();
                }
            }
            Event::Frame(Frame::Credit { stream, bytes }) => {
                if let Some(stream) = half.stream(stream)? {
                    stream.credit(bytes)?;
                }
            }
            // A side that does not read gets no row of pongs, which would fill the queue.
            Event::Frame(Frame::Ping(_)) if link.is_full() => {}
            Event::Frame(Frame::Ping(number)) => link.send(&Frame::Pong(number)),
            Event::Frame(Frame::Pong(number)) => link.pong(number),
            Event::Frame(Frame::Close(refusal)) => return Err(Fault::Refused(refusal)),
            Event::Frame(Frame::Hello(_) | Frame::Proof(_)) => {
                return Err(Fault::Unexpected("a second hello"));
            }
            Event::Frame(frame) => half.frame(frame)?,
        }
    }
    Ok(())
}
