use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::LinkContext;
use super::channel::{MAX_SLICES, Outlet};
use super::fault::Fault;
use super::notes::{Marks, Note, Notes};
use super::pulse::Pulse;
use super::share::Share;
use crate::log::Address;
use crate::net::trunk::{Headroom, SilenceRules, Step, TaskSlot};
use crate::net::{Rope, SCRATCH_LEN, Socket};
#[cfg(feature = "tls")]
use crate::tls::x509::Fingerprints;
use crate::wire::link::window::Sizes;
use crate::wire::link::{Frame, HEADER_LEN, MAX_BODY, data_header};

/// Frames such as `credit` cannot be held back. When with them more waits for the kernel
/// than a 16th of the buffers, within these bounds, the link is stuck and ends.
const MIN_STUCK: usize = 1 << 20;
const MAX_STUCK: usize = 4 << 20;

/// Fewer bytes are not worth a system call of their own: they go out at the end of the
/// turn of the link's task, with whatever else there is.
const WORTH_WRITING: usize = 4096;

/// Empty queues that are kept for the next streams that need one.
const SPARE_QUEUES: usize = 8;

/// Frames into which one scratch buffer full of bytes is cut, its packet's header
/// included.
const FRAMES: usize = SCRATCH_LEN / MAX_BODY + 1;
const _: () = assert!(3 * FRAMES <= MAX_SLICES);

/// Bytes around those of a stream in one frame, at most: 9 before a frame, 22 of a
/// record of TLS.
const FRAMING: usize = 32;

/// The most bytes of a stream that the other side gets with one read, after what is put
/// around them.
pub(super) const ONE_WRITE: usize = SCRATCH_LEN - FRAMES * FRAMING;

/// Bytes of a stream that may wait beyond its credit: on a back those of a line, on a
/// front what the sink of its client holds.
pub(super) const ALLOWANCE: usize = 64 * 1024;

/// A link as its streams see it. Its task, which reads and writes for all of them, is
/// the [driver](super::driver).
pub(super) struct LinkConnection {
    pub(crate) context: Rc<LinkContext>,
    pub(crate) socket: Socket,
    /// Who is at the other end, for the log.
    pub(crate) peer: Address,
    /// Whose link it is.
    pub(crate) share: Share,
    /// Of the other side's certificate, if it has one.
    #[cfg(feature = "tls")]
    pub(crate) fingerprints: Option<Fingerprints>,
    /// Credit of a new stream, to send.
    pub(crate) window_out: u32,
    /// The same to receive, and what it may grow to.
    pub(crate) sizes: Sizes,
    pub(crate) outlet: Outlet,
    out: RefCell<Rope>,
    /// Numbers of streams that may send a frame each, in the order in which they asked.
    turns: RefCell<VecDeque<u32>>,
    notes: Notes,
    spare_queues: RefCell<heapless::Vec<Box<Rope>, SPARE_QUEUES>>,
    headroom: Headroom,
    pulse: Pulse,
    task: TaskSlot<Fault>,
    wants_look: Cell<bool>,
}

/// What a [`LinkConnection`] is made of.
pub(super) struct ConnectionParts {
    pub(crate) context: Rc<LinkContext>,
    pub(crate) socket: Socket,
    pub(crate) peer: Address,
    pub(crate) share: Share,
    #[cfg(feature = "tls")]
    pub(crate) fingerprints: Option<Fingerprints>,
    pub(crate) window_out: u32,
    pub(crate) outlet: Outlet,
}

impl LinkConnection {
    pub(crate) fn new(parts: ConnectionParts) -> Rc<Self> {
        let began = parts.context.reactor.now();
        Rc::new(Self {
            sizes: parts.context.sizes(),
            pulse: Pulse::new(began),
            context: parts.context,
            socket: parts.socket,
            peer: parts.peer,
            share: parts.share,
            #[cfg(feature = "tls")]
            fingerprints: parts.fingerprints,
            window_out: parts.window_out,
            outlet: parts.outlet,
            out: RefCell::default(),
            turns: RefCell::default(),
            notes: Notes::default(),
            spare_queues: RefCell::default(),
            headroom: Headroom::default(),
            task: TaskSlot::default(),
            wants_look: Cell::new(false),
        })
    }

    fn now(&self) -> Instant {
        self.context.reactor.now()
    }

    fn rules(&self) -> SilenceRules {
        self.context.silence.rules()
    }

    /// Asks whether the other side is there.
    pub(crate) fn ping(&self) {
        self.send(&Frame::Ping(self.pulse.micros(self.precise_now())));
        self.pulse.ping(self.now(), &self.rules());
    }

    /// How long the last ping took, if one was answered, and how long there is a link.
    #[cfg(feature = "ctl")]
    pub(crate) fn round_trip_and_age(&self) -> (Option<Duration>, Duration) {
        self.pulse.round_trip_and_age(self.now())
    }

    /// The other side has answered a ping.
    pub(crate) fn pong(&self, number: u64) {
        let micros = self.pulse.pong(self.precise_now(), number);
        self.context.metrics.link_rtt_micros.set(micros);
    }

    /// Read anew: that of the reactor is as old as its turn.
    fn precise_now(&self) -> Instant {
        self.context.reactor.clock().read()
    }

    /// Something came from the other side.
    pub(crate) fn hear(&self) {
        self.pulse.hear(self.now(), &self.rules());
    }

    /// The kernel, which had refused bytes, takes some again.
    pub(crate) fn take(&self) {
        self.pulse.take(self.now(), &self.rules());
    }

    /// What is to be done about the silence of the other side.
    pub(crate) fn look(&self) -> Step {
        self.pulse.look(self.now(), &self.rules())
    }

    /// A ping is unanswered for so long that nobody new should be put on it.
    pub(crate) fn is_silent(&self) -> bool {
        self.pulse.is_silent(self.now(), &self.rules())
    }

    /// See [`Pulse::clock`].
    pub(crate) fn clock(&self) -> u32 {
        self.pulse.clock(self.now())
    }

    /// See [`Pulse::instant`].
    pub(crate) fn instant(&self, clock: u32) -> Instant {
        self.pulse.instant(self.now(), clock)
    }

    /// See [`Pulse::round_trip`].
    pub(crate) fn round_trip(&self) -> Duration {
        self.pulse.round_trip(self.now())
    }

    /// The kernel took so many bytes.
    pub(crate) fn count_written(&self, count: usize) {
        if count > 0 {
            self.pulse.set_wrote(self.now());
            self.context.metrics.link_bytes_out.add(count as u64);
        }
    }

    /// When the kernel last took something.
    pub(crate) fn wrote(&self) -> Instant {
        self.pulse.wrote(self.now())
    }

    /// Queues a frame that cannot wait.
    pub(crate) fn send(&self, frame: &Frame) {
        self.append(&frame.encode());
        self.wake();
    }

    /// Sends bytes of a stream, written at once if that is worth it.
    pub(crate) fn send_data(&self, stream: u32, head: &[u8], data: &[u8]) {
        let first = MAX_BODY.saturating_sub(head.len()).min(data.len());
        let (data, mut rest) = data.split_at_checked(first).unwrap_or((data, &[]));
        let mut headers = [[0; HEADER_LEN]; FRAMES];
        let mut bodies = [(head, data); FRAMES];
        let mut frames = 0;
        for (header, body) in headers.iter_mut().zip(&mut bodies) {
            if frames > 0 {
                let (data, behind) = rest.split_at(rest.len().min(MAX_BODY));
                *body = (&[], data);
                rest = behind;
            }
            *header = data_header(stream, body.0.len() + body.1.len());
            frames += 1;
            if rest.is_empty() {
                break;
            }
        }
        let mut slices = heapless::Vec::<&[u8], { 3 * FRAMES }>::new();
        for (header, (head, data)) in headers.iter().zip(bodies).take(frames) {
            // There is a place for each.
            let _ = slices.extend_from_slice(&[header, head, data]);
        }
        self.write(&slices);
        if !rest.is_empty() {
            self.send_data(stream, &[], rest);
        }
    }

    /// Sends `count` bytes, at most [`MAX_BODY`], from the front of a stream's
    /// queue.
    pub(crate) fn send_from(&self, stream: u32, queue: &mut Rope, count: usize) {
        let header = data_header(stream, count);
        self.append(&header);
        let mut left = count;
        for slice in queue.slices() {
            let piece = slice.get(..left.min(slice.len())).unwrap_or_default();
            self.append(piece);
            left -= piece.len();
            if left == 0 {
                break;
            }
        }
        queue.advance(count);
    }

    fn write(&self, slices: &[&[u8]]) {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut written = 0;
        if total >= WORTH_WRITING && self.out.borrow().is_empty() {
            match self.outlet.write(&self.socket, slices) {
                Ok(length) => written = length,
                Err(fault) => return self.fail(fault),
            }
            self.count_written(written);
            if written == total && self.outlet.is_flushed() {
                return;
            }
        }
        for slice in slices {
            let skipped = written.min(slice.len());
            written -= skipped;
            self.append(slice.get(skipped..).unwrap_or_default());
        }
        self.wake();
    }

    fn append(&self, bytes: &[u8]) {
        let mut out = self.out.borrow_mut();
        out.append_overdrawn(&self.context.buffers, bytes);
        let limit = self.context.buffers.total_bytes() / 16;
        if out.len() > limit.clamp(MIN_STUCK, MAX_STUCK) {
            drop(out);
            self.fail(Fault::Stuck);
        }
    }

    /// What waits for the kernel.
    pub(crate) fn with_out<T>(&self, use_out: impl FnOnce(&mut Rope) -> T) -> T {
        use_out(&mut self.out.borrow_mut())
    }

    /// Streams have to wait.
    pub(crate) fn is_full(&self) -> bool {
        Headroom::is_full(self.out.borrow().len())
    }

    /// Wakes `waker` when the link is no longer full.
    pub(crate) fn park(&self, waker: &Waker) {
        self.headroom.park(waker);
    }

    /// A stream that waited for room is over.
    pub(crate) fn unpark(&self, waker: &Waker) {
        self.headroom.unpark(waker);
    }

    /// Completes when the link is neither full nor silent, or at its end.
    pub(crate) async fn welcoming(&self) {
        while self.is_full() || self.is_silent() {
            smol::future::or(self.headroom.changed(), self.pulse.answered()).await;
        }
    }

    /// Wakes streams that wait for room, if there is some; whether others still wait.
    pub(crate) fn wake_waiting(&self) -> bool {
        self.headroom.give(self.out.borrow().len(), usize::MAX)
    }

    /// An empty queue, for a stream that has something to keep.
    pub(crate) fn take_queue(&self) -> Box<Rope> {
        let spare = self.spare_queues.borrow_mut().pop();
        spare.unwrap_or_default()
    }

    /// A stream has sent all of its queue.
    pub(crate) fn give_queue(&self, queue: Box<Rope>) {
        // More than are kept go back to the heap.
        let _ = self.spare_queues.borrow_mut().push(queue);
    }

    /// A stream asks for a turn to send a frame.
    pub(crate) fn queue_turn(&self, stream: u32) {
        self.turns.borrow_mut().push_back(stream);
        self.wake();
    }

    pub(crate) fn next_turn(&self) -> Option<u32> {
        self.turns.borrow_mut().pop_front()
    }

    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.borrow().is_empty()
    }

    /// A stream leaves a note that the link takes at the beginning of its next turn.
    pub(crate) fn note(&self, stream: u32, marks: &Marks, note: Note) {
        self.notes.leave(stream, marks, note);
        if note.is_urgent() {
            self.look_again();
        }
    }

    pub(crate) fn next_note(&self) -> Option<u32> {
        self.notes.next()
    }

    /// Windows do not grow while so much waits on this side.
    pub(crate) fn is_crowded(&self) -> bool {
        self.share.with(|whole, _| whole.is_crowded())
    }

    /// Ends the link at the next turn of its task.
    pub(crate) fn fail(&self, fault: Fault) {
        self.task.fail(fault);
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.task.take_fault()
    }

    pub(crate) fn set_task(&self, waker: &Waker) {
        self.task.fill(waker);
    }

    /// Something waits for [`Half::look_again`](super::driver::Half::look_again):
    /// there is a turn of the task after this, even if one is under way.
    pub(crate) fn look_again(&self) {
        self.wants_look.set(true);
        self.wake();
    }

    /// Whether that was asked for since the last time.
    pub(crate) fn take_look(&self) -> bool {
        self.wants_look.replace(false)
    }

    /// There is something to write. Within a turn of the link's task that is not needed
    /// and does nothing: the turn ends with writing.
    fn wake(&self) {
        self.task.wake();
    }

    /// The link is over: nothing more goes out, and whoever waits for it looks again.
    pub(crate) fn shut(&self) {
        self.out.borrow_mut().clear();
        self.headroom.give_up();
        self.pulse.give_up(self.now());
    }
}
