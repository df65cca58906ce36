//! A reactor whose time stands still while anything is to be done: what waits for
//! an hour is tested in milliseconds, and no test is early or late for what the
//! machine does besides.
//!
//! The kernel's own timers and ages (keepalive, `TCP_INFO`) go on by the machine's
//! clock: what is about them needs [`Reactor::new`], and so does a test with
//! threads of its own.

use std::cell::Cell;
use std::future::poll_fn;

use super::*;
use crate::net::unblock::under_way;

/// Before time goes on, the kernel has so small a part of it, within these bounds:
/// what it brings late, on a busy machine or after an acknowledgement that it
/// delays, is not taken for silence.
const PART: u32 = 100;
const MOMENT: Duration = Duration::from_millis(1);
const GRACE: Duration = Duration::from_millis(300);

/// Without a timer, until nothing is expected of the kernel any more.
const HOPE: Duration = Duration::from_secs(1);

/// If time has stood still for so long by the machine's clock, it will not go on: a
/// task is woken in each turn, or a thread does not come back. A slow machine, one that
/// is emulated, needs a part of it.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct VirtualTime {
    /// By the machine's clock, when time went on last.
    went: Cell<Instant>,
    /// Who looks once a turn.
    looking: RefCell<Vec<Waker>>,
    /// All of them have looked since anything happened.
    has_been_seen: Cell<bool>,
}

impl VirtualTime {
    /// Wakes once at the end of this turn, which keeps no time from going on.
    fn each_turn(&self, waker: &Waker) {
        self.looking.borrow_mut().push(waker.clone());
    }
}

impl Reactor {
    /// One whose time goes on, to the first timer, only when no socket is ready, no
    /// task was woken and no [`unblock`](crate::net::unblock) is under way.
    pub(crate) fn virtual_time() -> io::Result<Rc<Self>> {
        let mut reactor = Self::with(Clock::standing())?;
        reactor.virtual_time = Some(VirtualTime {
            went: Cell::new(Instant::now()),
            looking: RefCell::default(),
            has_been_seen: Cell::default(),
        });
        Ok(Rc::new(reactor))
    }

    /// How long it took until `condition` held, which is looked at in every turn;
    /// `None` if that is over `limit`.
    pub(crate) async fn until(
        self: &Rc<Self>,
        limit: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Option<Duration> {
        let start = self.now();
        let Some(virtual_time) = &self.virtual_time else {
            while !condition() {
                if self.now() - start > limit {
                    return None;
                }
                self.sleep(MOMENT).await;
            }
            return Some(self.now() - start);
        };
        let mut end = self.timer();
        end.set(start + limit);
        virtual_time.has_been_seen.set(false);
        let held = poll_fn(|cx| {
            if condition() {
                return Poll::Ready(true);
            }
            if end.poll_expired(cx).is_ready() {
                return Poll::Ready(false);
            }
            virtual_time.each_turn(cx.waker());
            Poll::Pending
        })
        .await;
        virtual_time.has_been_seen.set(false);
        held.then(|| self.now() - start)
    }

    /// What [`wait`](Self::wait) does in virtual time.
    pub(super) fn stand(
        &self,
        virtual_time: &VirtualTime,
        is_busy: bool,
        events: &mut Vec<epoll::Event>,
    ) {
        assert!(
            virtual_time.went.get().elapsed() < PATIENCE,
            "time does not go on: a task goes round in circles, or a thread does not come back"
        );
        self.poll(Some(Duration::ZERO), events);
        let is_idle = !is_busy && events.is_empty();
        let has_been_seen = virtual_time.has_been_seen.replace(is_idle);
        if is_idle && (has_been_seen || virtual_time.looking.borrow().is_empty()) {
            match under_way() {
                0 => self.pass_time(virtual_time, events),
                _ => self.poll(Some(PATIENCE), events),
            }
            virtual_time.has_been_seen.set(false);
        }
        // Their wakes are no news of the next turn.
        self.wake.sleeping.store(false, Ordering::SeqCst);
        for waker in virtual_time.looking.take() {
            waker.wake();
        }
    }

    fn pass_time(&self, virtual_time: &VirtualTime, events: &mut Vec<epoll::Event>) {
        let due = self.timers.borrow().first();
        let grace = due.map_or(HOPE, |due| {
            let ahead = due.saturating_duration_since(self.now());
            (ahead / PART).clamp(MOMENT, GRACE)
        });
        self.poll(Some(grace), events);
        if events.is_empty() {
            let due = due.expect("nothing will ever happen: all tasks wait, and no timer is set");
            self.clock.advance(due.max(self.now()));
            virtual_time.went.set(Instant::now());
        }
    }
}

/// Of something with an epoll descriptor of its own, which it empties.
pub(crate) struct Watch {
    reactor: Rc<Reactor>,
    key: usize,
}

impl Watch {
    pub(crate) fn new(reactor: &Rc<Reactor>, descriptor: impl AsFd) -> io::Result<Self> {
        let key = reactor.add_source(descriptor, epoll::EventFlags::IN)?;
        let reactor = reactor.clone();
        Ok(Self { reactor, key })
    }

    /// Ready once for all that has come since.
    pub(crate) fn poll_news(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (reactor, key) = (&self.reactor, self.key);
        let news = reactor.poll_ready(key, Direction::Read, cx);
        reactor.clear_ready(key, Direction::Read);
        news
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reactor.remove_source(self.key);
    }
}

#[path = "virtual_time_tests.rs"]
mod tests;
