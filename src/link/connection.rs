use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::LinkContext;
use super::channel::{MAX_SLICES, Outlet};
use super::fault::Fault;
use super::notes::{Marks, Note, Notes};
use super::share::Share;
use crate::net::trunk::{Headroom, Life, Step, TaskSlot};
use crate::net::{Notify, Rope, SCRATCH_LEN, Socket};
#[cfg(feature = "tls")]
use crate::tls::x509::Fingerprints;
use crate::wire::link::window::Sizes;
use crate::wire::link::{Frame, HEADER_LEN, MAX_BODY, data_header};

/// What waits with frames that cannot wait may come to this: a 16th of the buffers,
/// within these.
const MIN_STUCK: usize = 1 << 20;
const MAX_STUCK: usize = 4 << 20;

/// Less is not worth a system call of its own: it goes out with what else the
/// turn brings.
const WORTH_WRITING: usize = 4096;

/// A peer that answers later than this is not waited for as long.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Empty queues that are kept for the next streams to need one.
const SPARE_QUEUES: usize = 8;

/// Frames that one scratch buffer and a packet's header make.
const FRAMES: usize = SCRATCH_LEN / MAX_BODY + 1;
const _: () = assert!(3 * FRAMES <= MAX_SLICES);

/// The 9 bytes before a frame and the 22 around a record of TLS.
const FRAMING: usize = 32;

/// Bytes of a stream that with all that is put around them go into one write, and
/// are read at once by the other side.
pub(super) const ONE_WRITE: usize = SCRATCH_LEN - FRAMES * FRAMING;

/// What the streams of a link see of it. Its task is the
/// [driver](super::driver).
pub(super) struct LinkConnection {
    pub context: Rc<LinkContext>,
    pub socket: Socket,
    /// Who is at the other end, for the log.
    pub peer: String,
    /// Whose link it is.
    pub share: Share,
    /// Of the other side's certificate, if it has one.
    #[cfg(feature = "tls")]
    pub fingerprints: Option<Fingerprints>,
    /// Credit of a new stream, to send.
    pub window_out: u32,
    /// And to receive.
    pub sizes: Sizes,
    pub outlet: Outlet,
    out: RefCell<Rope>,
    /// Streams that have something to send and may, in turn.
    turns: RefCell<VecDeque<u32>>,
    notes: Notes,
    spare_queues: RefCell<heapless::Vec<Box<Rope>, SPARE_QUEUES>>,
    headroom: Headroom,
    life: Cell<Life>,
    /// Woken when it answers after all.
    answered: Notify,
    task: TaskSlot<Fault>,
    wants_look: Cell<bool>,
    began: Instant,
    round_trip: Cell<Duration>,
    /// When the first ping went out that is not answered, on its clock.
    pinged: Cell<Option<u32>>,
    /// When the kernel last took something, on its clock.
    wrote: Cell<u32>,
}

/// What a [`LinkConnection`] is made of.
pub(super) struct ConnectionParts {
    pub context: Rc<LinkContext>,
    pub socket: Socket,
    pub peer: String,
    pub share: Share,
    #[cfg(feature = "tls")]
    pub fingerprints: Option<Fingerprints>,
    pub window_out: u32,
    pub outlet: Outlet,
}

impl LinkConnection {
    pub fn new(parts: ConnectionParts) -> Rc<Self> {
        let began = parts.context.reactor.now();
        Rc::new(Self {
            sizes: parts.context.sizes(),
            began,
            life: Cell::new(Life::new(began)),
            answered: Notify::default(),
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
            round_trip: Cell::default(),
            pinged: Cell::new(None),
            wrote: Cell::new(0),
        })
    }

    /// Asks whether the other side is there.
    pub fn ping(&self) {
        self.send(&Frame::Ping(self.age_micros()));
        let pinged = self.pinged.get().unwrap_or_else(|| self.clock());
        self.pinged.set(Some(pinged));
        let now = self.context.reactor.now();
        self.life(|life| life.ping(now));
    }

    /// Something came from it.
    pub fn hear(&self) {
        let now = self.context.reactor.now();
        self.life(|life| life.hear(now));
    }

    /// Its kernel has made room.
    pub fn take(&self) {
        let now = self.context.reactor.now();
        self.life(|life| life.take(now));
    }

    pub fn look(&self) -> Step {
        let (now, patience) = (self.context.reactor.now(), &self.context.patience);
        self.life.get().look(now, &patience.rules())
    }

    /// A ping is unanswered for so long that nobody new should be put on it.
    pub fn is_silent(&self) -> bool {
        let (now, patience) = (self.context.reactor.now(), &self.context.patience);
        self.life.get().is_silent(now, &patience.rules())
    }

    fn life(&self, change: impl FnOnce(&mut Life)) {
        let was_silent = self.is_silent();
        let mut life = self.life.get();
        change(&mut life);
        self.life.set(life);
        if was_silent && !self.is_silent() {
            self.answered.notify();
        }
    }

    /// It is.
    pub fn pong(&self, number: u64) {
        let rtt = self.age_micros().saturating_sub(number);
        self.context.metrics.link_rtt_micros.set(rtt);
        self.round_trip.set(Duration::from_micros(rtt));
        self.pinged.set(None);
    }

    /// Milliseconds since it began; they start anew after 49 days.
    pub fn clock(&self) -> u32 {
        let age = self.context.reactor.now().duration_since(self.began);
        age.as_millis() as u32
    }

    /// When its clock last showed `clock`.
    pub fn instant(&self, clock: u32) -> Instant {
        let now = self.context.reactor.now();
        now.checked_sub(self.since(clock)).unwrap_or(now)
    }

    fn since(&self, clock: u32) -> Duration {
        Duration::from_millis(self.clock().wrapping_sub(clock).into())
    }

    /// How long the last ping took, or the next one takes at least; at most a second.
    pub fn round_trip(&self) -> Duration {
        let waited = self.pinged.get().map(|pinged| self.since(pinged));
        let longer = self.round_trip.get().max(waited.unwrap_or_default());
        longer.min(MAX_ROUND_TRIP)
    }

    /// The kernel took so many bytes.
    pub fn note_written(&self, count: usize) {
        if count > 0 {
            self.wrote.set(self.clock());
            self.context.metrics.link_bytes_out.add(count as u64);
        }
    }

    /// When its kernel last took something.
    pub fn wrote(&self) -> Instant {
        self.instant(self.wrote.get())
    }

    fn age_micros(&self) -> u64 {
        let now = self.context.reactor.clock().read();
        now.duration_since(self.began).as_micros() as u64
    }

    /// Queues a frame that cannot wait.
    pub fn send(&self, frame: &Frame) {
        self.append(&frame.encode());
        self.wake();
    }

    /// Sends bytes of a stream, written at once if that is worth it.
    pub fn send_data(&self, stream: u32, head: &[u8], data: &[u8]) {
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
    pub fn send_from(&self, stream: u32, queue: &mut Rope, count: usize) {
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
            self.note_written(written);
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
    pub fn with_out<T>(&self, use_out: impl FnOnce(&mut Rope) -> T) -> T {
        use_out(&mut self.out.borrow_mut())
    }

    /// Streams have to wait.
    pub fn is_full(&self) -> bool {
        Headroom::is_full(self.out.borrow().len())
    }

    /// Wakes `waker` when the link is no longer full.
    pub fn park(&self, waker: &Waker) {
        self.headroom.park(waker);
    }

    /// A stream that waited for room is over.
    pub fn unpark(&self, waker: &Waker) {
        self.headroom.unpark(waker);
    }

    /// Completes when the link is neither full nor silent, or at its end.
    pub async fn welcoming(&self) {
        while self.is_full() || self.is_silent() {
            smol::future::or(self.headroom.changed(), self.answered.changed()).await;
        }
    }

    /// Wakes those whose turn it is, if there is room; whether others wait for
    /// theirs.
    pub fn wake_waiting(&self) -> bool {
        self.headroom.give(self.out.borrow().len(), usize::MAX)
    }

    /// An empty queue, for a stream that has something to keep.
    pub fn take_queue(&self) -> Box<Rope> {
        let spare = self.spare_queues.borrow_mut().pop();
        spare.unwrap_or_default()
    }

    /// A stream has sent all of its queue.
    pub fn give_queue(&self, queue: Box<Rope>) {
        // More than are kept go back to the heap.
        let _ = self.spare_queues.borrow_mut().push(queue);
    }

    pub fn queue_turn(&self, stream: u32) {
        self.turns.borrow_mut().push_back(stream);
        self.wake();
    }

    pub fn next_turn(&self) -> Option<u32> {
        self.turns.borrow_mut().pop_front()
    }

    pub fn has_turns(&self) -> bool {
        !self.turns.borrow().is_empty()
    }

    /// A stream leaves something that its link takes at the beginning of a turn.
    pub fn note(&self, stream: u32, marks: &Marks, note: Note) {
        self.notes.leave(stream, marks, note);
        if note.is_urgent() {
            self.look_again();
        }
    }

    pub fn next_note(&self) -> Option<u32> {
        self.notes.next()
    }

    /// Windows do not grow while so much waits on this side.
    pub fn is_crowded(&self) -> bool {
        self.share.with(|whole, _| whole.is_crowded())
    }

    /// Ends the link at the next turn of its task.
    pub fn fail(&self, fault: Fault) {
        self.task.fail(fault);
    }

    pub fn take_fault(&self) -> Option<Fault> {
        self.task.take_fault()
    }

    pub fn set_task(&self, waker: &Waker) {
        self.task.fill(waker);
    }

    /// Something waits for [`Half::look_again`](super::driver::Half::look_again):
    /// there is a turn of the task after this, even if one is under way.
    pub fn look_again(&self) {
        self.wants_look.set(true);
        self.wake();
    }

    /// Whether that was asked for since the last time.
    pub fn take_look(&self) -> bool {
        self.wants_look.replace(false)
    }

    /// There is something to write: the turn that is under way does so anyway.
    fn wake(&self) {
        self.task.wake();
    }

    /// Nothing more goes out; whoever waits looks again.
    pub fn shut(&self) {
        self.out.borrow_mut().clear();
        self.life.set(Life::new(self.context.reactor.now()));
        self.headroom.give_up();
        self.answered.notify();
    }
}
