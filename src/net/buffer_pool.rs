//! The memory for bytes that wait, in chunks.
//!
//! `rope` imports this file and this file `rope`, by nature: the chunk of a rope goes
//! back to its pool, which keeps tables of chunks for the next rope.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::memory::{CHUNK_LEN, ChunkBytes};
use super::notify::Notify;
use super::room::{Destination, Id, Room};
use super::rope::Chunk;
use crate::clock::Clock;

/// Freed chunks kept for the next taker instead of going back to the heap.
const SPARE: usize = 32;

/// Tables of chunks kept for the next rope, and how many places such a table may have:
/// a rope is empty between two packets and gives its table back.
const SPARE_TABLES: usize = 16;
const SPARE_PLACES: usize = 32;

/// One part in so many of the pool is never reserved, but no more than so many chunks.
const APART: usize = 8;
const MAX_APART: usize = 256;

/// A fixed number of fixed-size chunks for all connections together.
///
/// Chunks come from the heap when they are first needed and go back when they
/// are not: the number is what is fixed. Running out is told to the taker, which
/// then reads less or waits. Large packets of clients get theirs by a
/// [`Reservation`](super::Reservation); a part of the pool is never theirs, so that all else passes.
pub(crate) struct BufferPool {
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
    /// Of tasks that wait for room, or for the news that their packet has to go.
    pub(super) wakers: RefCell<BTreeMap<Id, Waker>>,
    /// Of tasks whose packet has too few bytes there to wait for room. They are woken
    /// as soon as there is room, as nothing more may come before what is there is read:
    /// the kernel may keep the TCP window closed for so long.
    pub(super) too_little: RefCell<BTreeMap<Id, Waker>>,
    /// Somebody has begun to wait for room, or would.
    pub(super) short: Notify,
}

impl BufferPool {
    /// A pool of `bytes`, rounded up to whole chunks.
    #[cfg(any(feature = "check", test))]
    pub(crate) fn new(clock: &Clock, bytes: usize) -> Rc<Self> {
        let total = bytes.div_ceil(CHUNK_LEN);
        Self::with(clock, total, total - apart(total))
    }

    /// A pool of `bytes`, or as much more as it takes that a packet of `largest`
    /// bytes has room and leaves a part free.
    pub(crate) fn with_room_for(clock: &Clock, largest: usize, bytes: usize) -> Rc<Self> {
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

    pub(crate) fn total_bytes(&self) -> usize {
        self.total * CHUNK_LEN
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used.get() * CHUNK_LEN
    }

    /// Bytes that a taker without a reservation can still get.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free() * CHUNK_LEN
    }

    /// Ready while there is a free chunk. All that wait here are woken by one
    /// that is freed: for connections, which then choose whose turn it is.
    pub(crate) fn poll_free(&self, cx: &mut Context<'_>) -> Poll<()> {
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

    #[cfg(test)]
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
}

fn apart(total: usize) -> usize {
    (total / APART).min(MAX_APART)
}

#[cfg(test)]
mod tests {
    use super::super::room::User;
    use super::super::{Destination, Rope};
    use super::*;

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

    #[test]
    fn reservations_leave_a_part_for_all_else() {
        let packet = 100 * CHUNK_LEN;
        for bytes in [packet, 2 * packet, 50 * packet] {
            let pool = BufferPool::with_room_for(&Clock::machine(), packet, bytes);
            let mut taken = Vec::new();
            let to = |taken: &Vec<_>| Destination(taken.len() as i16);
            while pool.reservable_bytes(to(&taken)) >= packet {
                let to = to(&taken);
                let reservation = pool.announce(User(1), to, packet).unwrap();
                assert!(reservation.has_room());
                reservation.set_aside(packet);
                taken.push(reservation);
            }
            assert!(!taken.is_empty());
            assert!(pool.free_bytes() >= (pool.total_bytes() / 10).min(MAX_APART * CHUNK_LEN));
            assert!(pool.total_bytes() < bytes + packet / 4);
            taken.clear();
            assert_eq!(pool.free_bytes(), pool.total_bytes());
        }
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
