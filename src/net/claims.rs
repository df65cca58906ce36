//! Large packets in the buffers: they are announced, wait for room and may have to
//! go. Who does is said by `room`; here its answers reach those who wait.

use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::buffer_pool::BufferPool;
use super::memory::CHUNK_LEN;
use super::reactor::Reactor;
use super::reservation::Reservation;
use super::room::{Destination, Id, LOOK_EVERY, User};
use crate::wire::dc::DcId;

/// What large packets of clients take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Filled or set aside, complete packets that wait for Telegram included.
    pub(crate) bytes: usize,
    /// Unfinished packets that hold some, and that wait for some.
    pub(crate) holders: usize,
    pub(crate) waiters: usize,
}

impl Destination {
    /// A DC. Those that nobody knows are one: their packets go where the list's
    /// default is, whatever a client calls them.
    pub(crate) fn dc(dc: DcId) -> Self {
        let is_known = matches!(dc.number(), 1..=5 | 203);
        Self(if is_known { dc.0 } else { 0 })
    }
}

impl BufferPool {
    /// Bytes of the largest packet to `to` that may begin now.
    pub(crate) fn reservable_bytes(&self, to: Destination) -> usize {
        let room = self.room.borrow();
        room.available(to, self.free()) * CHUNK_LEN
    }

    /// Bytes of the largest packet that ever may.
    pub(crate) fn max_reservable_bytes(&self) -> usize {
        self.room.borrow().capacity() * CHUNK_LEN
    }

    pub(crate) fn claims(&self) -> Claims {
        let tally = self.room.borrow().tally();
        Claims {
            bytes: tally.taken * CHUNK_LEN,
            holders: tally.holders,
            waiters: tally.waiters,
        }
    }

    /// Announces a packet of so many bytes to `to`, which takes no buffers yet.
    /// `None` if the pool is too small for it.
    pub(crate) fn announce(
        self: &Rc<Self>,
        user: User,
        to: Destination,
        bytes: usize,
    ) -> Option<Reservation> {
        let (chunks, now) = (bytes.div_ceil(CHUNK_LEN), self.clock.now());
        let id = self.room.borrow_mut().claim(user, to, chunks, now)?;
        Some(Reservation {
            pool: self.clone(),
            id,
            to,
        })
    }

    /// Takes from those who hold up others, for as long as the pool is in use.
    pub(crate) async fn keep_fair(&self, reactor: &Rc<Reactor>) {
        loop {
            if self.room.borrow().is_short() || !self.too_little.borrow().is_empty() {
                reactor.sleep(LOOK_EVERY).await;
                self.look(reactor.now());
            } else {
                self.short.changed().await;
            }
        }
    }

    fn look(&self, now: Instant) {
        let outcome = self.room.borrow_mut().look(self.free(), now);
        self.wake(outcome.called);
        self.wake(outcome.revoked);
        self.wake_fitting(now);
    }

    /// Wakes tasks with too few bytes to wait whose packets have room by now.
    fn wake_fitting(&self, now: Instant) {
        let too_little = self.too_little.borrow();
        if too_little.is_empty() {
            return;
        }
        let room = self.room.borrow();
        let fitting = room.fitting(too_little.keys(), self.free(), now);
        drop((room, too_little));
        for id in fitting {
            let waker = self.too_little.borrow_mut().remove(&id);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn wake(&self, ids: Vec<Id>) {
        for id in ids {
            if let Some(waker) = self.wakers.borrow_mut().remove(&id) {
                waker.wake();
            }
        }
    }

    pub(super) fn park(&self, id: Id, cx: &mut Context<'_>) {
        self.wakers.borrow_mut().insert(id, cx.waker().clone());
    }

    /// Lets those go on who have room now.
    pub(super) fn call(&self) {
        let mut room = self.room.borrow_mut();
        if room.is_short() {
            let called = room.call(self.free(), self.clock.now());
            drop(room);
            self.wake(called);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::task::Poll;

    use super::super::{Executor, Rope};
    use super::*;
    use crate::metrics::Revocation;

    const ONE: User = User(1);
    const DC: Destination = Destination(2);

    /// Room for `bytes`, all of it set aside, as soon as it is there; `None` if it
    /// never is.
    async fn reserve(pool: &Rc<BufferPool>, bytes: usize) -> Option<Reservation> {
        let reservation = pool.announce(ONE, DC, bytes)?;
        let room = poll_fn(|cx| reservation.poll_room(cx)).await;
        room.ok().map(|()| {
            reservation.set_aside(bytes);
            reservation
        })
    }

    #[test]
    fn reservations_wait_in_order_and_hold_what_they_got() {
        let reactor = Reactor::virtual_time().unwrap();
        let pool = BufferPool::new(reactor.clock(), 4 * CHUNK_LEN);
        let executor = Executor::default();
        let mut holder = Rope::default();
        holder.append(&pool, &[1; 3 * CHUNK_LEN]);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        let chunks = 2;
        for number in 0..3 {
            let (pool, order) = (pool.clone(), order.clone());
            tasks.push(executor.spawn(async move {
                let mut reservation = reserve(&pool, chunks * CHUNK_LEN).await.unwrap();
                order.borrow_mut().push(number);
                let mut rope = Rope::default();
                let data = vec![2; chunks * CHUNK_LEN];
                assert_eq!(rope.append_promised(&mut reservation, &data), data.len());
                assert_eq!(rope.append_promised(&mut reservation, &[0; CHUNK_LEN]), 0);
            }));
        }
        reactor.block_on(&executor, async {
            smol::future::yield_now().await;
            assert_eq!(pool.claims().waiters, 3);
            assert!(reserve(&pool, 5 * CHUNK_LEN).await.is_none());
            drop(holder);
            for task in tasks {
                task.await;
            }
        });
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert_eq!(pool.free_bytes(), 4 * CHUNK_LEN);
        let nothing = Claims {
            bytes: 0,
            holders: 0,
            waiters: 0,
        };
        assert_eq!(pool.claims(), nothing);
    }

    #[test]
    fn a_waiter_that_gives_up_lets_the_next_one_in() {
        let reactor = Reactor::virtual_time().unwrap();
        let pool = BufferPool::new(reactor.clock(), 4 * CHUNK_LEN);
        let executor = Executor::default();
        reactor.block_on(&executor, async {
            let all = reserve(&pool, 4 * CHUNK_LEN).await;
            assert_eq!(pool.free_bytes(), 0);
            let mut large = Box::pin(reserve(&pool, 4 * CHUNK_LEN));
            assert!(smol::future::poll_once(&mut large).await.is_none());
            let mut small = Box::pin(reserve(&pool, CHUNK_LEN));
            assert!(smol::future::poll_once(&mut small).await.is_none());
            drop((large, all));
            assert!(small.await.is_some());
        });
    }

    /// Where its fairness is kept.
    fn kept_fair(bytes: usize) -> (Rc<BufferPool>, Rc<Reactor>, Executor) {
        let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
        let pool = BufferPool::new(reactor.clock(), bytes);
        let (kept, keeper) = (pool.clone(), reactor.clone());
        let keeping = async move { kept.keep_fair(&keeper).await };
        executor.spawn(keeping).detach();
        (pool, reactor, executor)
    }

    #[test]
    fn who_has_sent_too_little_hears_of_room_too() {
        let (pool, reactor, executor) = kept_fair(4 * CHUNK_LEN);
        reactor.block_on(&executor, async {
            let others = reserve(&pool, 3 * CHUNK_LEN).await.unwrap();
            let unread = pool.announce(ONE, DC, 2 * CHUNK_LEN).unwrap();
            // Polled only when it is woken.
            let hearing = executor.spawn(poll_fn(move |cx| {
                if unread.has_room() {
                    return Poll::Ready(());
                }
                unread.expect_more(cx);
                Poll::Pending
            }));
            reactor.sleep(2 * LOOK_EVERY).await;
            // It makes nobody go.
            assert_eq!((others.revoked(), pool.claims().waiters), (None, 0));
            assert_eq!(pool.too_little.borrow().len(), 1);
            drop(others);
            hearing.await;
            assert!(pool.too_little.borrow().is_empty());
        });
    }

    #[test]
    fn who_holds_up_others_is_told_to_go() {
        let (pool, reactor, executor) = kept_fair(4 * CHUNK_LEN);
        reactor.block_on(&executor, async {
            let mut silent = pool.announce(ONE, DC, 3 * CHUNK_LEN).unwrap();
            let mut rope = Rope::default();
            rope.append_promised(&mut silent, &[1; 2 * CHUNK_LEN]);
            let waiting = reserve(&pool, 4 * CHUNK_LEN);
            let going = async {
                let reason = poll_fn(|cx| silent.poll_revoked(cx)).await;
                assert_eq!(reason, Revocation::Blocking);
                drop((silent, rope));
            };
            let (reserved, ()) = smol::future::zip(waiting, going).await;
            assert!(reserved.is_some());
        });
    }
}
