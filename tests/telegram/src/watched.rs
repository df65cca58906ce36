//! A value that tasks can wait for.

use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};

use crate::shared::lock;

#[derive(Default)]
pub(crate) struct Watched<T>(Mutex<State<T>>);

#[derive(Default)]
struct State<T> {
    value: T,
    waiting: Vec<Waker>,
}

impl<T> Watched<T> {
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&lock(&self.0).value)
    }

    /// Changes what nobody waits for.
    pub fn with_mut<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut lock(&self.0).value)
    }

    /// Whoever waits looks again.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let (outcome, waiting) = {
            let mut state = lock(&self.0);
            let outcome = change(&mut state.value);
            (outcome, std::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        outcome
    }

    /// Completes while `is_so` holds.
    pub async fn until(&self, is_so: impl Fn(&T) -> bool) {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            if is_so(&state.value) {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|one| one.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
