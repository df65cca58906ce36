use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes every task that waits for something to change; each then looks again
/// for itself.
#[derive(Default)]
pub struct Notify {
    changes: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
}

impl Notify {
    pub fn notify(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Completes at the next [`notify`](Self::notify) after its first poll,
    /// whatever else its task is woken for.
    pub async fn changed(&self) {
        let mut before = None;
        poll_fn(|cx| {
            let changes = self.changes.get();
            if *before.get_or_insert(changes) != changes {
                return Poll::Ready(());
            }
            self.park(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Wakes `waker` at the next [`notify`](Self::notify).
    pub fn park(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};

    #[test]
    fn only_a_change_counts() {
        let notify = Notify::default();
        block_on(async {
            let mut changed = Box::pin(notify.changed());
            assert!(poll_once(&mut changed).await.is_none());
            assert!(poll_once(&mut changed).await.is_none(), "polled again");
            notify.notify();
            assert!(poll_once(&mut changed).await.is_some());
        });
    }
}
