//! Timers in a time that is told.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::shared::lock;

/// When, and a number: those of one time fire in the order they were set.
type Key = (Duration, u64);

#[derive(Default)]
pub(super) struct Timers(Mutex<State>);

#[derive(Default)]
struct State {
    now: Duration,
    last: u64,
    set: BTreeMap<Key, Waker>,
}

impl Timers {
    pub fn now(&self) -> Duration {
        lock(&self.0).now
    }

    pub fn next(&self) -> Option<Duration> {
        lock(&self.0).set.keys().next().map(|key| key.0)
    }

    /// Moves the time on and wakes what is due, first things first.
    pub fn set_time(&self, now: Duration) {
        let due = {
            let mut state = lock(&self.0);
            let now = state.now.max(now);
            state.now = now;
            let later = state.set.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.set, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// A future that is ready when `duration` has passed since its first poll.
    pub fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Sleep {
            timers: self,
            duration,
            key: None,
        }
    }
}

pub(super) struct Sleep<'a> {
    timers: &'a Timers,
    duration: Duration,
    key: Option<Key>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.timers.0);
        let key = self.key.unwrap_or_else(|| {
            state.last += 1;
            (state.now.saturating_add(self.duration), state.last)
        });
        if key.0 <= state.now {
            return Poll::Ready(());
        }
        let before = state.set.insert(key, cx.waker().clone());
        drop(state);
        drop(before);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            let waker = lock(&self.timers.0).set.remove(key);
            drop(waker);
        }
    }
}
