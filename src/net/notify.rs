use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Wakes tasks that wait for something to change; each then looks again for
/// itself.
#[derive(Default)]
pub(crate) struct Notify {
    changes: Cell<u32>,
    waiting: RefCell<Waiting>,
}

/// Tasks in the order in which they came, each once.
#[derive(Default)]
struct Waiting {
    queue: BTreeMap<u64, Waker>,
    /// The place of each in `queue`, by its task's address, which nobody else has while
    /// the waker is there. The same type as the queue of `room`, so that there is code
    /// for one.
    places: BTreeMap<Identity, u64>,
    next_place: u64,
}

/// Wakers of one task have the same.
type Identity = (u64, u64);

fn identity(waker: &Waker) -> Identity {
    let vtable = std::ptr::from_ref(waker.vtable());
    (waker.data().addr() as u64, vtable.addr() as u64)
}

impl Notify {
    /// Wakes all that wait.
    pub(crate) fn notify(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
        for waker in self.waiting.take().queue.into_values() {
            waker.wake();
        }
    }

    /// Wakes those that wait longest, `most` of them; whether others still
    /// wait. The caller comes back for these: who is woken need not use what
    /// there is, and does not pass it on.
    pub(crate) fn notify_first(&self, most: usize) -> bool {
        self.changes.set(self.changes.get().wrapping_add(1));
        for _ in 0..most {
            let Some(waker) = self.waiting.borrow_mut().pop() else {
                break;
            };
            waker.wake();
        }
        self.is_awaited()
    }

    /// Somebody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiting.borrow().queue.is_empty()
    }

    /// Completes at the next [`notify`](Self::notify) after its first poll,
    /// whatever else its task is woken for.
    pub(crate) async fn changed(&self) {
        let mut wait = Wait {
            notify: self,
            begun: None,
        };
        poll_fn(|cx| wait.poll(cx)).await;
    }

    /// Completes once `holds` does, which is looked at now and after each
    /// [`notify`](Self::notify).
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            self.changed().await;
        }
    }

    /// Wakes `waker` at the next [`notify`](Self::notify), or when it is its
    /// turn; false if it was waiting already.
    pub(crate) fn park(&self, waker: &Waker) -> bool {
        self.waiting.borrow_mut().push(waker)
    }

    /// Wakes the task of `waker` out of turn: it may have no reason to wait any
    /// more.
    pub(crate) fn unpark(&self, waker: &Waker) {
        if let Some(waker) = self.waiting.borrow_mut().remove(waker) {
            waker.wake();
        }
    }
}

/// One wait for a change. Given up early, it leaves the list: what it waits for
/// may never come, and the list keeps the memory of its task.
struct Wait<'a> {
    notify: &'a Notify,
    /// The changes before it, and its task.
    begun: Option<(u32, Waker)>,
}

impl Wait<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let changes = self.notify.changes.get();
        match &mut self.begun {
            Some((before, _)) if *before != changes => return Poll::Ready(()),
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.begun = Some((changes, cx.waker().clone())),
        }
        self.notify.park(cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some((_, waker)) = &self.begun {
            // Should its task wait here twice, it looks again.
            self.notify.unpark(waker);
        }
    }
}

impl Waiting {
    fn push(&mut self, waker: &Waker) -> bool {
        let identity = identity(waker);
        if self.places.contains_key(&identity) {
            return false;
        }
        self.places.insert(identity, self.next_place);
        self.queue.insert(self.next_place, waker.clone());
        self.next_place += 1;
        true
    }

    fn remove(&mut self, waker: &Waker) -> Option<Waker> {
        let place = self.places.remove(&identity(waker))?;
        self.queue.remove(&place)
    }

    fn pop(&mut self) -> Option<Waker> {
        let (_, waker) = self.queue.pop_first()?;
        self.places.remove(&identity(&waker));
        Some(waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_help::WakeCount;
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

    #[test]
    fn a_condition_is_looked_at_after_each_change() {
        let (notify, looks) = (Notify::default(), Cell::new(0));
        let look = || looks.replace(looks.get() + 1) >= 2;
        block_on(async {
            let mut until = Box::pin(notify.until(look));
            for count in [1, 2] {
                assert!(poll_once(&mut until).await.is_none());
                assert!(poll_once(&mut until).await.is_none(), "nothing has changed");
                assert_eq!(looks.get(), count);
                notify.notify();
            }
            assert!(poll_once(&mut until).await.is_some());
            let mut at_once = Box::pin(notify.until(look));
            assert!(poll_once(&mut at_once).await.is_some());
        });
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_the_list() {
        let notify = Notify::default();
        block_on(async {
            for _ in 0..3 {
                let mut changed = Box::pin(notify.changed());
                assert!(poll_once(&mut changed).await.is_none());
                assert!(notify.is_awaited());
                drop(changed);
                assert!(!notify.is_awaited());
            }
        });
    }

    #[test]
    fn tasks_are_woken_once_and_in_their_order() {
        let notify = Notify::default();
        let tasks = [(); 4].map(|()| WakeCount::new());
        let park = |index: usize| notify.park(&tasks[index].1);
        let woken = || tasks.each_ref().map(|(woken, _)| woken.get());
        for index in [2, 0, 2, 1, 3, 0] {
            park(index);
        }
        assert!(notify.notify_first(2));
        assert_eq!(woken(), [1, 0, 1, 0]);
        park(2);
        assert!(notify.notify_first(1));
        assert_eq!(woken(), [1, 1, 1, 0]);
        notify.unpark(&tasks[3].1);
        notify.unpark(&tasks[0].1);
        assert_eq!(woken(), [1, 1, 1, 1]);
        assert!(!notify.notify_first(5));
        assert_eq!(woken(), [1, 1, 2, 1]);
        assert!(!notify.is_awaited());
        park(0);
        notify.notify();
        assert_eq!((woken()[0], notify.is_awaited()), (2, false));
    }
}
