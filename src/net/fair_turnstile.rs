use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use super::unblock;

/// Pieces of long work that run at once, at most: a thread each.
const MAX_AT_ONCE: usize = 4;

/// Work that computes for long, on other threads: as many pieces at once as there are
/// processors to spare. Who waits goes in turn by whose the work is, however much of it one
/// has. A piece that nobody waits for any more keeps its place until it is done.
#[derive(Clone)]
pub(crate) struct FairTurnstile(Arc<Mutex<Queue>>);

struct Queue {
    free: usize,
    /// Whose turn was last.
    last: u64,
    next: u64,
    /// By whose they are and when they came; who is not here any more has been let through.
    waiting: BTreeMap<(u64, u64), Waker>,
}

impl Default for FairTurnstile {
    /// One processor is for the rest, where there is another.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::of((processors - 1).clamp(1, MAX_AT_ONCE))
    }
}

impl FairTurnstile {
    fn of(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            free: at_once,
            last: 0,
            next: 0,
            waiting: BTreeMap::new(),
        })))
    }

    /// Runs `work`, which is that of `whose`, when it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        whose: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let turn = self.turn(whose).await;
        let work = move || {
            let outcome = work();
            drop(turn);
            outcome
        };
        unblock(work).await
    }

    async fn turn(&self, whose: u64) -> Turn {
        let turn = self.enter(whose);
        poll_fn(|cx| {
            let mut queue = turn.queue();
            match queue.waiting.get_mut(&turn.key) {
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            }
        })
        .await;
        turn
    }

    fn enter(&self, whose: u64) -> Turn {
        let turnstile = self.clone();
        let mut queue = lock(&self.0);
        let key = (whose, queue.next);
        queue.next += 1;
        match queue.free.checked_sub(1) {
            Some(free) => (queue.free, queue.last) = (free, whose),
            None => drop(queue.waiting.insert(key, Waker::noop().clone())),
        }
        drop(queue);
        Turn { turnstile, key }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to work, or to wait for it.
struct Turn {
    turnstile: FairTurnstile,
    key: (u64, u64),
}

impl Turn {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.turnstile.0)
    }
}

impl Queue {
    /// Lets the next one through, if there is any.
    fn pass_on(&mut self) -> Option<Waker> {
        let others = self.last.checked_add(1);
        let behind = others.and_then(|others| self.waiting.range((others, 0)..).next());
        let next = behind.or(self.waiting.first_key_value());
        let Some(key) = next.map(|(key, _)| *key) else {
            self.free += 1;
            return None;
        };
        self.last = key.0;
        self.waiting.remove(&key)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.queue();
        let waited = queue.waiting.remove(&self.key).is_some();
        let waker = match waited {
            true => None,
            false => queue.pass_on(),
        };
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;

    use super::*;

    fn is_through(turn: &Turn) -> bool {
        !turn.queue().waiting.contains_key(&turn.key)
    }

    #[test]
    fn who_has_much_waits_for_itself() {
        let turnstile = FairTurnstile::of(1);
        let first = turnstile.enter(5);
        let crowd: Vec<_> = (0..100).map(|_| turnstile.enter(5)).collect();
        let others = [u64::MAX, 0, 7].map(|whose| turnstile.enter(whose));
        assert!(is_through(&first));
        // Each of the others waits for one of the crowd at most.
        let mut turns: Vec<_> = crowd.into_iter().chain(others).collect();
        drop(first);
        let mut order = Vec::new();
        while let Some(at) = turns.iter().position(is_through) {
            let done = turns.remove(at);
            assert!(!turns.iter().any(is_through), "two at once");
            order.push(done.key.0);
        }
        assert!(turns.is_empty());
        assert_eq!(order[..5], [7, u64::MAX, 0, 5, 5]);
        assert_eq!(lock(&turnstile.0).free, 1);
    }

    #[test]
    fn who_gives_up_leaves_no_place_taken() {
        let turnstile = FairTurnstile::of(1);
        let first = turnstile.enter(1);
        let mut second = Box::pin(turnstile.turn(2));
        let third = turnstile.enter(3);
        assert!(
            second
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(first);
        // It is let through, and never learns of it.
        drop(second);
        assert!(is_through(&third));
        let fourth = turnstile.enter(4);
        drop(fourth);
        drop(third);
        assert_eq!(lock(&turnstile.0).free, 1);
        assert!(lock(&turnstile.0).waiting.is_empty());
    }

    #[test]
    fn no_more_run_at_once_than_may() {
        let turnstile = FairTurnstile::of(2);
        let running = Arc::new(AtomicUsize::new(0));
        let works = (0..20).map(|whose| {
            let running = running.clone();
            turnstile.run(whose % 3, move || {
                let others = running.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                others
            })
        });
        let all = smol::future::block_on(async {
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = works.map(|work| executor.spawn(work)).collect();
            executor
                .run(async {
                    let mut all = Vec::new();
                    for task in tasks {
                        all.push(task.await);
                    }
                    all
                })
                .await
        });
        assert_eq!(all.len(), 20);
        assert!(all.iter().all(|others| *others < 2), "{all:?}");
    }
}
