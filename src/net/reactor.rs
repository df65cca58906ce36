//! Waits for sockets and timers on behalf of every task of the thread.
//!
//! | File | What |
//! |---|---|
//! | `timers.rs` | the timers that are set |
//! | `virtual_time.rs` | for tests: time that goes on when nothing else can |

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::executor::Executor;
use crate::clock::Clock;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use slab::Slab;

mod timers;
#[cfg(test)]
pub(super) mod virtual_time;

pub(super) use timers::TimerKey;
use timers::Timers;

/// Events taken from the kernel per turn.
const EVENTS_PER_TURN: usize = 256;

/// The slab never hands this key out: it would need 2^64 sources.
const WAKE_KEY: u64 = u64::MAX;

/// Waits for sockets and timers on behalf of every task of the thread.
///
/// Sockets are registered once, edge-triggered, for both directions; a task
/// that met `EWOULDBLOCK` parks its waker with `poll_ready`
/// and is woken by the next edge. So the steady state of a relay is one
/// `epoll_wait` per batch of events and no `epoll_ctl` at all, and an idle
/// socket costs 24 bytes here.
///
/// A source belongs to one task: it remembers one waker.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    wake: Arc<WakeSignal>,
    sources: RefCell<Slab<SourceState>>,
    events: RefCell<Vec<epoll::Event>>,
    pub(super) timers: RefCell<Timers>,
    clock: Clock,
    /// In time that goes only when there is nothing else to do.
    #[cfg(test)]
    virtual_time: Option<virtual_time::VirtualTime>,
}

/// What a source can be ready for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
    /// Its peer will send no more; that stays so.
    HangUp,
}

#[derive(Default)]
struct SourceState {
    readable: bool,
    writable: bool,
    /// The peer will send no more: reads end in EOF, no further edge comes.
    hung_up: bool,
    waker: Option<Waker>,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self::with(Clock::machine())?))
    }

    fn with(clock: Clock) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake_fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(
            &epoll,
            &wake_fd,
            epoll::EventData::new_u64(WAKE_KEY),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Self {
            epoll,
            wake: Arc::new(WakeSignal {
                woken: AtomicBool::new(false),
                sleeping: AtomicBool::new(false),
                fd: wake_fd,
            }),
            sources: RefCell::default(),
            events: RefCell::new(Vec::with_capacity(EVENTS_PER_TURN)),
            timers: RefCell::new(Timers::new(clock.now())),
            clock,
            #[cfg(test)]
            virtual_time: None,
        })
    }

    /// Runs the executor's tasks until `future` is done.
    pub(crate) fn block_on<F: Future>(&self, executor: &Executor, future: F) -> F::Output {
        let waker = Waker::from(self.wake.clone());
        let mut context = Context::from_waker(&waker);
        let mut running = pin!(executor.run(future));
        let mut patient = pin!(executor.step_patient());
        // Nothing was polled with this waker so far.
        self.wake.woken.store(true, Ordering::SeqCst);
        loop {
            if self.wake.woken.swap(false, Ordering::SeqCst)
                && let Poll::Ready(output) = running.as_mut().poll(&mut context)
            {
                return output;
            }
            let mut step = || {
                let stepped = patient.as_mut().poll(&mut context).is_ready();
                if stepped {
                    patient.set(executor.step_patient());
                }
                stepped
            };
            let stepped = step();
            if stepped {
                // A busy turn has time for more than one, or nobody could come
                // in while the others have much to do: a fifth of it.
                let now = self.clock.read();
                let end = now + (now - self.now()) / 4;
                while self.clock.read() < end && step() {}
            }
            self.turn(stepped);
        }
    }

    /// The time of the current turn: one clock reading for all tasks of it.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What all that counts time on this thread goes by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn turn(&self, is_busy: bool) {
        // Sleep only if nothing woke a task; a wake between the two lines
        // below sees `sleeping` and writes the eventfd.
        self.wake.sleeping.store(true, Ordering::SeqCst);
        let is_busy = is_busy || self.wake.woken.load(Ordering::SeqCst);
        let mut events = self.events.borrow_mut();
        self.wait(is_busy, &mut events);
        self.wake.sleeping.store(false, Ordering::SeqCst);
        self.clock.turn();
        for event in events.drain(..) {
            self.deliver(event.data.u64(), event.flags);
        }
        drop(events);
        self.fire_timers();
    }

    /// Until there are events or a timer is due, if there is nothing else to do.
    fn wait(&self, is_busy: bool, events: &mut Vec<epoll::Event>) {
        #[cfg(test)]
        if let Some(virtual_time) = &self.virtual_time {
            return self.stand(virtual_time, is_busy, events);
        }
        let timeout = match is_busy {
            true => Some(Duration::ZERO),
            false => self.until_next_timer(),
        };
        self.poll(timeout, events);
    }

    fn poll(&self, timeout: Option<Duration>, events: &mut Vec<epoll::Event>) {
        let timeout = timeout.map(|left| Timespec {
            tv_sec: left.as_secs() as _,
            tv_nsec: left.subsec_nanos() as _,
        });
        // EINTR is the only error that a valid epoll descriptor can give; the
        // next turn waits again.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref());
    }

    fn deliver(&self, key: u64, flags: epoll::EventFlags) {
        if key == WAKE_KEY {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&self.wake.fd, &mut count);
            return;
        }
        let mut sources = self.sources.borrow_mut();
        // A source dropped earlier in this batch; if its key was taken again,
        // the new owner sees a readiness that its next call corrects.
        let Some(state) = sources.get_mut(key as usize) else {
            return;
        };
        let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        let hung_up = flags.contains(epoll::EventFlags::RDHUP) || broken;
        state.hung_up |= hung_up;
        state.readable |= hung_up || flags.contains(epoll::EventFlags::IN);
        state.writable |= broken || flags.contains(epoll::EventFlags::OUT);
        if let Some(waker) = state.waker.take() {
            drop(sources);
            waker.wake();
        }
    }

    fn until_next_timer(&self) -> Option<Duration> {
        let first = self.timers.borrow().first()?;
        Some(whole_millis(first, self.clock.read()))
    }

    fn fire_timers(&self) {
        let now = self.now();
        loop {
            let due = self.timers.borrow_mut().take_due(now);
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Registers `fd` for both directions. New sources count as ready: their
    /// first system call finds out.
    pub(super) fn add_source(&self, fd: impl AsFd, flags: epoll::EventFlags) -> io::Result<usize> {
        let key = self.sources.borrow_mut().insert(SourceState {
            readable: true,
            writable: true,
            hung_up: false,
            waker: None,
        });
        let added = epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(key as u64),
            flags | epoll::EventFlags::ET,
        );
        if let Err(error) = added {
            self.sources.borrow_mut().remove(key);
            return Err(error.into());
        }
        Ok(key)
    }

    /// Forgets a source; closing its descriptor takes it out of the epoll set.
    pub(super) fn remove_source(&self, key: usize) {
        self.sources.borrow_mut().try_remove(key);
    }

    pub(super) fn is_ready(&self, key: usize, direction: Direction) -> bool {
        let sources = self.sources.borrow();
        sources
            .get(key)
            .is_some_and(|state| state.is_ready(direction))
    }

    /// Pending until the next edge, with the caller's waker parked.
    pub(super) fn poll_ready(
        &self,
        key: usize,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut sources = self.sources.borrow_mut();
        let Some(state) = sources.get_mut(key) else {
            return Poll::Ready(());
        };
        if state.is_ready(direction) {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            slot => *slot = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// After `EWOULDBLOCK`: not ready until the next edge.
    pub(super) fn clear_ready(&self, key: usize, direction: Direction) {
        if let Some(state) = self.sources.borrow_mut().get_mut(key) {
            match direction {
                Direction::Read => state.readable = false,
                Direction::Write => state.writable = false,
                Direction::HangUp => {}
            }
        }
    }

    /// Until the next read or write says otherwise. Whoever is parked stays so.
    pub(super) fn set_ready(&self, key: usize, direction: Direction) {
        if let Some(state) = self.sources.borrow_mut().get_mut(key) {
            match direction {
                Direction::Read => state.readable = true,
                Direction::Write => state.writable = true,
                Direction::HangUp => {}
            }
        }
    }

    /// After a read that took all there was: no edge has to be missed for it
    /// unless the end of the stream is already known.
    pub(super) fn clear_readable_unless_hung_up(&self, key: usize) {
        if let Some(state) = self.sources.borrow_mut().get_mut(key) {
            state.readable = state.hung_up;
        }
    }
}

impl SourceState {
    fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.readable,
            Direction::Write => self.writable,
            Direction::HangUp => self.hung_up,
        }
    }
}

/// Wakes the thread out of `epoll_wait`, from any thread.
struct WakeSignal {
    woken: AtomicBool,
    sleeping: AtomicBool,
    fd: OwnedFd,
}

impl Wake for WakeSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let first = !self.woken.swap(true, Ordering::SeqCst);
        if first && self.sleeping.load(Ordering::SeqCst) {
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }
}

/// From `now` until `then`, rounded up: epoll has no finer clock.
fn whole_millis(then: Instant, now: Instant) -> Duration {
    let left = then.saturating_duration_since(now);
    let last = u64::from(left.subsec_micros().div_ceil(1000));
    let millis = left.as_secs().saturating_mul(1000).saturating_add(last);
    Duration::from_millis(millis.min(i32::MAX as u64))
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
