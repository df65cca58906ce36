use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::reactor::{Reactor, TimerKey};

impl Reactor {
    /// A timer that is not set yet.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        Timer::new(self.clone())
    }

    /// Completes after `duration`.
    pub(crate) async fn sleep(self: &Rc<Self>, duration: Duration) {
        let mut timer = self.timer();
        timer.set(self.now() + duration);
        timer.expired().await;
    }

    /// `future`'s output, or `None` when `duration` is over first.
    pub(crate) async fn timeout<F: Future>(
        self: &Rc<Self>,
        duration: Duration,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut timer = self.timer();
        timer.set(self.now() + duration);
        // Written out: `or` of two blocks would be code for each kind of future, and
        // hold it three times.
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll_expired(cx).map(|()| None),
        })
        .await
    }
}

/// A deadline that can be moved.
///
/// Setting is free; the reactor hears of it at the next poll. Tasks with a
/// deadline that moves at every packet set it late and look again when it
/// fires.
pub(crate) struct Timer {
    reactor: Rc<Reactor>,
    deadline: Option<Instant>,
    registered: Option<TimerKey>,
}

impl Timer {
    pub(super) fn new(reactor: Rc<Reactor>) -> Self {
        Self {
            reactor,
            deadline: None,
            registered: None,
        }
    }

    pub(crate) fn set(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Brings the deadline forward if it is later than this or not set.
    pub(crate) fn set_earlier(&mut self, deadline: Instant) {
        if self.deadline.is_none_or(|set| set > deadline) {
            self.deadline = Some(deadline);
        }
    }

    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.deadline = None;
    }

    /// Ready once when the deadline has passed, which clears it; pending
    /// without a deadline.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            self.unregister();
            return Poll::Pending;
        };
        if deadline <= self.reactor.now() {
            self.unregister();
            self.deadline = None;
            return Poll::Ready(());
        }
        match &self.registered {
            Some(key)
                if key.deadline == deadline
                    && self.reactor.timers.borrow_mut().update(key, cx.waker()) => {}
            _ => {
                self.unregister();
                let mut timers = self.reactor.timers.borrow_mut();
                self.registered = Some(timers.add(deadline, cx.waker().clone()));
            }
        }
        Poll::Pending
    }

    /// [`poll_expired`](Self::poll_expired) as a future.
    pub(crate) async fn expired(&mut self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }

    fn unregister(&mut self) {
        if let Some(key) = self.registered.take() {
            self.reactor.timers.borrow_mut().remove(&key);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.unregister();
    }
}
