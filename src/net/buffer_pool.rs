use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::notify::Notify;
use super::reactor::Reactor;
use super::reservation::Reservation;
use super::room::{Destination, Id, Room, User};
use super::rope::Chunk;
use crate::clock::Clock;
use crate::wire::dc::DcId;

/// Bytes in one chunk: what, with the allocator's own few, fits into a page of
/// memory. For 4096 bytes the router builds' allocator, which rounds up to powers
/// of two, takes two pages.
pub const CHUNK_LEN: usize = 4064;

/// Freed chunks kept for the next taker instead of going back to the heap.
const SPARE: usize = 32;

/// The same of ropes' tables of chunks, and the places of the largest of them: a
/// packet after the other goes through a rope, which is empty in between.
const SPARE_TABLES: usize = 16;
const SPARE_PLACES: usize = 32;

/// The part of the pool that no reservation takes: so much of it, and at most so
/// many chunks.
const APART: usize = 8;
const MOST_APART: usize = 256;

/// How often those who wait make us look for who holds them up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) type ChunkBytes = Box<[u8; CHUNK_LEN]>;

/// A fixed number of fixed-size chunks for all connections together.
///
/// Chunks come from the heap when they are first needed and go back when they
/// are not: the number is what is fixed. Running out is told to the taker, which
/// then reads less or waits. Large packets of clients get theirs by a
/// [`Reservation`]; a part of the pool is never theirs, so that all else passes.
pub struct BufferPool {
    pub(super) clock: Clock,
    total: usize,
    used: Cell<usize>,
    /// Chunks set aside for reservations and not filled yet.
    pub(super) aside: Cell<usize>,
    spare: RefCell<Vec<ChunkBytes>>,
    /// Empty ones.
    tables: RefCell<Vec<VecDeque<Chunk>>>,
    freed: Notify,
    pub(super) room: RefCell<Room>,
    /// Of those who wait for room or would hear that they have to go.
    pub(super) wakers: RefCell<BTreeMap<Id, Waker>>,
    /// Of whom too little is there to wait for room. Nothing more may come before
    /// that is read: the kernel keeps a window closed while the rest of what it
    /// has merged, up to all of a socket's memory on loopback, is unread.
    pub(super) too_little: RefCell<BTreeMap<Id, Waker>>,
    /// Somebody has begun to wait for room, or would.
    pub(super) short: Notify,
}

/// What large packets of clients take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Filled or set aside, complete packets that wait for Telegram included.
    pub bytes: usize,
    /// Unfinished packets that hold some, and that wait for some.
    pub holders: usize,
    pub waiters: usize,
}

impl Destination {
    /// A DC. Those that nobody knows are one: their packets go where the list's
    /// default is, whatever a client calls them.
    pub fn dc(dc: DcId) -> Self {
        let is_known = matches!(dc.number(), 1..=5 | 203);
        Self(if is_known { dc.0 } else { 0 })
    }
}

impl BufferPool {
    /// A pool of `bytes`, rounded up to whole chunks.
    pub fn new(clock: &Clock, bytes: usize) -> Rc<Self> {
        let total = bytes.div_ceil(CHUNK_LEN);
        Self::with(clock, total, total - apart(total))
    }

    /// A pool of `bytes`, or as much more as it takes that a packet of `largest`
    /// bytes has room and leaves a part free.
    pub fn with_room_for(clock: &Clock, largest: usize, bytes: usize) -> Rc<Self> {
        let total = bytes.div_ceil(CHUNK_LEN);
        let reservable = (total - apart(total)).max(largest.div_ceil(CHUNK_LEN));
        Self::with(clock, reservable + apart(total), reservable)
    }

    fn with(clock: &Clock, total: usize, reservable: usize) -> Rc<Self> {
        Rc::new(Self {
            clock: clock.clone(),
            total,
            used: Cell::new(0),
            aside: Cell::new(0),
            spare: RefCell::new(Vec::with_capacity(SPARE)),
            tables: RefCell::new(Vec::with_capacity(SPARE_TABLES)),
            freed: Notify::default(),
            room: RefCell::new(Room::new(reservable, (total - reservable) / 2)),
            wakers: RefCell::default(),
            too_little: RefCell::default(),
            short: Notify::default(),
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

    /// Bytes of the largest packet to `to` that may begin now.
    pub fn reservable_bytes(&self, to: Destination) -> usize {
        let room = self.room.borrow();
        room.available(to, self.free()) * CHUNK_LEN
    }

    /// Bytes of the largest packet that ever may.
    pub fn most_reservable_bytes(&self) -> usize {
        self.room.borrow().capacity() * CHUNK_LEN
    }

    pub fn claims(&self) -> Claims {
        let tally = self.room.borrow().tally();
        Claims {
            bytes: tally.taken * CHUNK_LEN,
            holders: tally.holders,
            waiters: tally.waiters,
        }
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

    pub(super) fn free(&self) -> usize {
        self.total
            .saturating_sub(self.used.get() + self.aside.get())
    }

    /// Announces a packet of so many bytes to `to`, which takes no buffers yet.
    /// `None` if the pool is too small for it.
    pub fn announce(
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
    pub async fn keep_fair(&self, reactor: &Rc<Reactor>) {
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

    /// Those of whom too little is there, whose packets have room meanwhile.
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

    pub(super) fn take(&self) -> Option<ChunkBytes> {
        (self.free() > 0).then(|| self.take_overdrawn())
    }

    pub(super) fn take_overdrawn(&self) -> ChunkBytes {
        self.used.set(self.used.get() + 1);
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::new([0; CHUNK_LEN]))
    }

    /// `claimed`: what it was filled for, if that had a reservation.
    pub(super) fn give_back(&self, bytes: ChunkBytes, claimed: Option<Destination>) {
        self.used.set(self.used.get() - 1);
        if let Some(to) = claimed {
            self.room.borrow_mut().freed(to);
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(bytes);
        }
        drop(spare);
        self.wake_waiting();
    }

    pub(super) fn take_table(&self) -> VecDeque<Chunk> {
        self.tables.borrow_mut().pop().unwrap_or_default()
    }

    /// An empty one, which nobody needs now.
    pub(super) fn give_table(&self, table: VecDeque<Chunk>) {
        let mut tables = self.tables.borrow_mut();
        if tables.len() < SPARE_TABLES && table.capacity() <= SPARE_PLACES {
            tables.push(table);
        }
    }

    /// Chunks came free: wakes those who can go on now.
    pub(super) fn wake_waiting(&self) {
        let free = self.free();
        if free > 0 {
            self.freed.notify();
        }
        self.call();
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

fn apart(total: usize) -> usize {
    (total / APART).min(MOST_APART)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::{Executor, Reactor, Rope};
    use super::*;
    use crate::metrics::Revocation;

    fn contents(rope: &Rope) -> Vec<u8> {
        rope.slices().flatten().copied().collect()
    }

    #[test]
    fn a_rope_is_a_queue_of_bytes() {
        let pool = BufferPool::new(&Clock::machine(), 8 * CHUNK_LEN);
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
        let pool = BufferPool::new(&Clock::machine(), 2 * CHUNK_LEN);
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

    #[test]
    fn reservations_leave_a_part_for_all_else() {
        let packet = 100 * CHUNK_LEN;
        for bytes in [packet, 2 * packet, 50 * packet] {
            let pool = BufferPool::with_room_for(&Clock::machine(), packet, bytes);
            let mut taken = Vec::new();
            let to = |taken: &Vec<_>| Destination(taken.len() as i16);
            while pool.reservable_bytes(to(&taken)) >= packet {
                let to = to(&taken);
                let reservation = pool.announce(ONE, to, packet).unwrap();
                assert!(reservation.has_room());
                reservation.set_aside(packet);
                taken.push(reservation);
            }
            assert!(!taken.is_empty());
            assert!(pool.free_bytes() >= (pool.total_bytes() / 10).min(MOST_APART * CHUNK_LEN));
            assert!(pool.total_bytes() < bytes + packet / 4);
            taken.clear();
            assert_eq!(pool.free_bytes(), pool.total_bytes());
        }
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

    #[test]
    fn an_empty_rope_leaves_its_table_to_the_next() {
        let pool = BufferPool::new(&Clock::machine(), 1 << 20);
        let (mut rope, mut next) = (Rope::default(), Rope::default());
        rope.append(&pool, &[1; 10]);
        rope.advance(10);
        assert_eq!(pool.tables.borrow().len(), 1);
        next.append(&pool, &[1; 10]);
        assert!(pool.tables.borrow().is_empty());
        // That of a burst is not kept.
        let burst = [1; (SPARE_PLACES + 1) * CHUNK_LEN];
        assert_eq!(rope.append(&pool, &burst), burst.len());
        rope.advance(burst.len());
        assert!(pool.tables.borrow().is_empty());
        assert_eq!(pool.used_bytes(), CHUNK_LEN);
    }
}
