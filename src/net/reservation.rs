use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::buffer_pool::BufferPool;
use super::memory::{CHUNK_LEN, ChunkBytes};
use super::room::{Destination, Id, Taken};
use super::rope::Rope;
use crate::metrics::Revocation;

/// A client's large packet on its way into the pool, by its length.
///
/// It is gone when others waited for what it holds: see
/// [`poll_revoked`](Self::poll_revoked).
pub(crate) struct Reservation {
    pub(super) pool: Rc<BufferPool>,
    pub(super) id: Id,
    pub(super) to: Destination,
}

impl Reservation {
    /// Whether what comes of the packet may be read and
    /// [appended](super::Rope::append_promised) now.
    pub(crate) fn has_room(&self) -> bool {
        let (pool, now) = (&self.pool, self.pool.clock.now());
        pool.room.borrow_mut().ask(self.id, pool.free(), now)
    }

    /// Its sender has finished a large packet before: it does not wait behind
    /// those of its user who have not.
    pub(crate) fn vouch(&self) {
        self.pool.room.borrow_mut().vouch(self.id);
    }

    /// Bytes that have to be there before it [waits](Self::poll_room), if it does
    /// not end with fewer.
    pub(crate) fn worth_waiting(&self) -> usize {
        self.pool.room.borrow().worth_waiting(self.id)
    }

    /// Waits for [`has_room`](Self::has_room). Not before
    /// [enough](Self::worth_waiting) is there to be read: those who wait here make
    /// others go.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Revocation>> {
        if let Some(reason) = self.revoked() {
            return Poll::Ready(Err(reason));
        }
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        let pool = &self.pool;
        pool.too_little.borrow_mut().remove(&self.id);
        pool.room.borrow_mut().wait(self.id, pool.clock.now());
        pool.park(self.id, cx);
        pool.short.notify();
        Poll::Pending
    }

    /// Too few bytes are there to [wait](Self::poll_room). The task is woken when all
    /// the rest has room, but no other packet is given up for this one.
    pub(crate) fn expect_more(&self, cx: &mut Context<'_>) {
        let pool = &self.pool;
        let mut too_little = pool.too_little.borrow_mut();
        too_little.insert(self.id, cx.waker().clone());
        drop(too_little);
        pool.park(self.id, cx);
        pool.short.notify();
    }

    /// Sets room for the next `bytes` of it aside, at most for all of it: for a
    /// sender that will be told to send as much. Only while it
    /// [has room](Self::has_room).
    pub(crate) fn set_aside(&self, bytes: usize) {
        let (chunks, pool) = (bytes.div_ceil(CHUNK_LEN), &self.pool);
        let mut room = pool.room.borrow_mut();
        let count = room.set_aside(self.id, chunks);
        pool.aside.set(pool.aside.get() + count);
    }

    /// Nothing can come for so long, as its sender has to be told first: until then it
    /// is not late.
    pub(crate) fn give_time(&self, time: Duration) {
        let (pool, now) = (&self.pool, self.pool.clock.now());
        pool.room.borrow_mut().is_away(self.id, now + time);
    }

    /// Ready when its holder has to give it up, packet and all: the packet came
    /// too slowly and others waited for its buffers.
    pub(crate) fn poll_revoked(&self, cx: &mut Context<'_>) -> Poll<Revocation> {
        if let Some(reason) = self.revoked() {
            return Poll::Ready(reason);
        }
        self.pool.park(self.id, cx);
        Poll::Pending
    }

    pub(crate) fn revoked(&self) -> Option<Revocation> {
        self.pool.room.borrow().revoked(self.id)
    }

    fn take(&mut self) -> Option<ChunkBytes> {
        let pool = &self.pool;
        match pool.room.borrow_mut().take(self.id)? {
            Taken::Fresh => {}
            Taken::Aside => pool.aside.set(pool.aside.get() - 1),
        }
        Some(pool.take_overdrawn())
    }

    fn received(&mut self, bytes: usize) {
        let (pool, now) = (&self.pool, self.pool.clock.now());
        pool.room.borrow_mut().received(self.id, bytes, now);
        // It was let in for all its rest, and may have brought little.
        pool.call();
    }
}

impl Rope {
    /// Appends what has come of a reservation's packet, and no more than was
    /// announced.
    pub(crate) fn append_promised(&mut self, reservation: &mut Reservation, data: &[u8]) -> usize {
        let (pool, to) = (reservation.pool.clone(), reservation.to);
        let length = self.append_with(data, &pool, Some(to), || reservation.take());
        reservation.received(length);
        length
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let pool = &self.pool;
        pool.wakers.borrow_mut().remove(&self.id);
        pool.too_little.borrow_mut().remove(&self.id);
        let aside = pool.room.borrow_mut().close(self.id, pool.clock.now());
        pool.aside.set(pool.aside.get() - aside);
        pool.wake_waiting();
    }
}
