use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::notify::Notify;

/// Bytes in one chunk: what, with the allocator's own few, fits into a page of
/// memory. For 4096 bytes the router builds' allocator, which rounds up to powers
/// of two, takes two pages.
pub const CHUNK_LEN: usize = 4064;

/// Freed chunks kept for the next taker instead of going back to the heap.
const SPARE: usize = 32;

pub(super) type ChunkBytes = Box<[u8; CHUNK_LEN]>;

/// A fixed number of fixed-size chunks for all connections together.
///
/// Chunks come from the heap when they are first needed and go back when they
/// are not: the number is what is fixed. Running out is told to the taker,
/// which then reads less or waits with [`reserve`](Self::reserve).
pub struct BufferPool {
    total: usize,
    used: Cell<usize>,
    /// Chunks promised to reservations and not taken yet.
    promised: Cell<usize>,
    spare: RefCell<Vec<ChunkBytes>>,
    waiting: RefCell<VecDeque<Waiter>>,
    next_waiter: Cell<u64>,
    freed: Notify,
}

struct Waiter {
    number: u64,
    chunks: usize,
    waker: Waker,
}

impl BufferPool {
    /// A pool of `bytes`, rounded up to whole chunks.
    pub fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            total: bytes.div_ceil(CHUNK_LEN),
            used: Cell::new(0),
            promised: Cell::new(0),
            spare: RefCell::default(),
            waiting: RefCell::default(),
            next_waiter: Cell::new(0),
            freed: Notify::default(),
        })
    }

    pub fn total_bytes(&self) -> usize {
        self.total * CHUNK_LEN
    }

    pub fn used_bytes(&self) -> usize {
        self.used.get() * CHUNK_LEN
    }

    /// Bytes that a taker without a reservation can still get.
    pub fn free_bytes(&self) -> usize {
        self.free() * CHUNK_LEN
    }

    /// Ready while there is a free chunk. All that wait here are woken by one
    /// that is freed: for connections, which then choose whose turn it is.
    pub fn poll_free(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.free() > 0 {
            return Poll::Ready(());
        }
        self.freed.park(cx.waker());
        Poll::Pending
    }

    fn free(&self) -> usize {
        self.total
            .saturating_sub(self.used.get() + self.promised.get())
    }

    /// Room for `bytes`, all of it, as soon as it is there. Waiters are served
    /// in order. `None` if the pool is smaller than that.
    pub async fn reserve(self: &Rc<Self>, bytes: usize) -> Option<Reservation> {
        let chunks = bytes.div_ceil(CHUNK_LEN);
        if chunks > self.total {
            return None;
        }
        let mut wait = Wait {
            pool: self,
            number: None,
        };
        poll_fn(|cx| wait.poll(chunks, cx)).await;
        drop(wait);
        Some(Reservation {
            pool: self.clone(),
            chunks,
        })
    }

    pub(super) fn take(&self) -> Option<ChunkBytes> {
        (self.free() > 0).then(|| self.take_overdrawn())
    }

    pub(super) fn take_overdrawn(&self) -> ChunkBytes {
        self.used.set(self.used.get() + 1);
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::new([0; CHUNK_LEN]))
    }

    pub(super) fn give_back(&self, bytes: ChunkBytes) {
        self.used.set(self.used.get() - 1);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(bytes);
        }
        drop(spare);
        self.wake_waiting();
    }

    /// Chunks came free: wakes those who can go on now.
    fn wake_waiting(&self) {
        if self.free() > 0 {
            self.freed.notify();
        }
        let waiting = self.waiting.borrow();
        let Some(first) = waiting.front() else { return };
        if first.chunks <= self.free() {
            let waker = first.waker.clone();
            drop(waiting);
            waker.wake();
        }
    }
}

/// A place in the queue; leaving early gives it up.
struct Wait<'a> {
    pool: &'a BufferPool,
    number: Option<u64>,
}

impl Wait<'_> {
    fn poll(&mut self, chunks: usize, cx: &mut Context<'_>) -> Poll<()> {
        let pool = self.pool;
        let mut waiting = pool.waiting.borrow_mut();
        let first = waiting.front().map(|waiter| waiter.number);
        let our_turn = first.is_none() || first == self.number;
        if our_turn && chunks <= pool.free() {
            if self.number.take().is_some() {
                waiting.pop_front();
            }
            drop(waiting);
            pool.promised.set(pool.promised.get() + chunks);
            pool.wake_waiting();
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        match self.number {
            Some(number) => {
                let place = place_of(&waiting, number);
                if let Some(own) = place.and_then(|place| waiting.get_mut(place)) {
                    own.waker = waker;
                }
            }
            None => {
                let number = pool.next_waiter.get();
                pool.next_waiter.set(number + 1);
                self.number = Some(number);
                waiting.push_back(Waiter {
                    number,
                    chunks,
                    waker,
                });
            }
        }
        Poll::Pending
    }
}

/// The queue is in the order of its numbers.
fn place_of(waiting: &VecDeque<Waiter>, number: u64) -> Option<usize> {
    waiting
        .binary_search_by_key(&number, |waiter| waiter.number)
        .ok()
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut waiting = self.pool.waiting.borrow_mut();
            if let Some(place) = place_of(&waiting, number) {
                waiting.remove(place);
            }
            drop(waiting);
            self.pool.wake_waiting();
        }
    }
}

/// Chunks promised to one packet.
pub struct Reservation {
    pub(super) pool: Rc<BufferPool>,
    chunks: usize,
}

impl Reservation {
    pub(super) fn take(&mut self) -> Option<ChunkBytes> {
        self.chunks = self.chunks.checked_sub(1)?;
        self.pool.promised.set(self.pool.promised.get() - 1);
        Some(self.pool.take_overdrawn())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool
            .promised
            .set(self.pool.promised.get() - self.chunks);
        self.pool.wake_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Executor, Reactor, Rope};
    use super::*;

    fn contents(rope: &Rope) -> Vec<u8> {
        rope.slices().flatten().copied().collect()
    }

    #[test]
    fn a_rope_is_a_queue_of_bytes() {
        let pool = BufferPool::new(8 * CHUNK_LEN);
        let data: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        let mut rope = Rope::default();
        assert_eq!(rope.append(&pool, &data), data.len());
        assert_eq!(contents(&rope), data);
        assert_eq!(pool.used_bytes(), 3 * CHUNK_LEN);
        rope.advance(4_500);
        assert_eq!(contents(&rope), data[4_500..]);
        let mut out = [0; 100];
        assert_eq!(rope.copy_out(&mut out), 100);
        assert_eq!(out[..], data[4_500..4_600]);
        assert_eq!(rope.len(), 5_400);
        rope.advance(5_400);
        assert_eq!((rope.len(), pool.used_bytes()), (0, 0));
    }

    #[test]
    fn the_pool_runs_out_and_recovers() {
        let pool = BufferPool::new(2 * CHUNK_LEN);
        let mut rope = Rope::default();
        let data = vec![1; 3 * CHUNK_LEN];
        assert_eq!(rope.append(&pool, &data), 2 * CHUNK_LEN);
        assert_eq!(pool.free_bytes(), 0);
        let mut kept = Rope::default();
        assert_eq!(kept.append(&pool, &data), 0);
        kept.append_overdrawn(&pool, &data);
        assert_eq!((kept.len(), pool.free_bytes()), (data.len(), 0));
        drop((rope, kept));
        assert_eq!(pool.free_bytes(), 2 * CHUNK_LEN);
    }

    #[test]
    fn reservations_wait_in_order_and_hold_what_they_got() {
        let pool = BufferPool::new(4 * CHUNK_LEN);
        let reactor = Reactor::new().unwrap();
        let executor = Executor::default();
        let mut holder = Rope::default();
        holder.append(&pool, &[1; 2 * CHUNK_LEN]);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for chunks in [4, 1] {
            let (pool, order) = (pool.clone(), order.clone());
            tasks.push(executor.spawn(async move {
                let mut reservation = pool.reserve(chunks * CHUNK_LEN).await.unwrap();
                order.borrow_mut().push(chunks);
                let mut rope = Rope::default();
                let data = vec![2; chunks * CHUNK_LEN];
                assert_eq!(rope.append_promised(&mut reservation, &data), data.len());
            }));
        }
        reactor.block_on(&executor, async {
            smol::future::yield_now().await;
            assert!(pool.reserve(5 * CHUNK_LEN).await.is_none());
            drop(holder);
            for task in tasks {
                task.await;
            }
        });
        assert_eq!(*order.borrow(), [4, 1]);
        assert_eq!(pool.free_bytes(), 4 * CHUNK_LEN);
    }

    #[test]
    fn a_waiter_that_gives_up_lets_the_next_one_in() {
        let pool = BufferPool::new(4 * CHUNK_LEN);
        let reactor = Reactor::new().unwrap();
        let executor = Executor::default();
        let mut holder = Rope::default();
        holder.append(&pool, &[1; 2 * CHUNK_LEN]);
        reactor.block_on(&executor, async {
            let mut large = Box::pin(pool.reserve(4 * CHUNK_LEN));
            assert!(smol::future::poll_once(&mut large).await.is_none());
            let mut small = Box::pin(pool.reserve(CHUNK_LEN));
            assert!(smol::future::poll_once(&mut small).await.is_none());
            drop(large);
            assert!(small.await.is_some());
        });
    }
}
