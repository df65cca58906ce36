//! A queue of bytes in chunks of a pool.
//!
//! `buffer_pool` imports this file and this file `buffer_pool`, by nature: the chunk of
//! a rope goes back to its pool, which keeps tables of chunks for the next rope.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::rc::Rc;

use super::buffer_pool::BufferPool;
use super::memory::ChunkBytes;
use super::room::Destination;
use super::socket::Socket;

/// What takes bytes without waiting: a connection, or what is like one.
pub(crate) trait TakesSlices {
    /// See [`Socket::try_write_vectored`].
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl TakesSlices for Socket {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }
}

/// Chunks of one vectored write.
const WRITE_SLICES: usize = 16;

pub(super) struct Chunk {
    /// `None` only while dropping.
    bytes: Option<ChunkBytes>,
    start: u16,
    end: u16,
    /// Where it goes, if it was taken for a reservation.
    claimed: Option<Destination>,
    pool: Rc<BufferPool>,
}

impl Chunk {
    fn new(bytes: ChunkBytes, claimed: Option<Destination>, pool: &Rc<BufferPool>) -> Self {
        Self {
            bytes: Some(bytes),
            start: 0,
            end: 0,
            claimed,
            pool: pool.clone(),
        }
    }

    fn filled(&self) -> &[u8] {
        let range = usize::from(self.start)..usize::from(self.end);
        self.bytes
            .as_ref()
            .and_then(|bytes| bytes.get(range))
            .unwrap_or_default()
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        let range = usize::from(self.start)..usize::from(self.end);
        self.bytes
            .as_mut()
            .and_then(|bytes| bytes.get_mut(range))
            .unwrap_or_default()
    }

    /// Copies in what fits and returns how much that was.
    fn fill(&mut self, data: &[u8]) -> usize {
        let end = usize::from(self.end);
        let room = self.bytes.as_mut().and_then(|bytes| bytes.get_mut(end..));
        let room = room.unwrap_or_default();
        let length = room.len().min(data.len());
        if let (Some(to), Some(from)) = (room.get_mut(..length), data.get(..length)) {
            to.copy_from_slice(from);
        }
        self.end += length as u16;
        length
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            self.pool.give_back(bytes, self.claimed);
        }
    }
}

/// A queue of bytes in chunks of a [`BufferPool`]. Empty, it holds none.
#[derive(Default)]
pub(crate) struct Rope {
    chunks: VecDeque<Chunk>,
    length: usize,
}

impl Rope {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends what the pool has room for and returns how much that was.
    #[cfg(test)]
    pub(crate) fn append(&mut self, pool: &Rc<BufferPool>, data: &[u8]) -> usize {
        self.append_with(data, pool, None, || pool.take())
    }

    /// Appends all of it, over the pool's limit if need be.
    ///
    /// For what is already ours and has no other place: the rest of one read
    /// from a DC, of one encrypted write, or a few bytes of framing. The caller
    /// does not read on before the pool has room again, so that the overdraft
    /// stays below two scratch buffers a DC connection.
    pub(crate) fn append_overdrawn(&mut self, pool: &Rc<BufferPool>, data: &[u8]) {
        self.append_with(data, pool, None, || Some(pool.take_overdrawn()));
    }

    /// Takes over the chunks of `other`, without copying.
    pub(crate) fn append_rope(&mut self, mut other: Rope) {
        self.length += other.length;
        if self.chunks.is_empty() {
            self.chunks = other.chunks;
        } else {
            self.chunks.append(&mut other.chunks);
        }
    }

    /// `claimed`: for a reservation of a packet to there; `take` gives the chunks.
    pub(super) fn append_with(
        &mut self,
        mut data: &[u8],
        pool: &Rc<BufferPool>,
        claimed: Option<Destination>,
        mut take: impl FnMut() -> Option<ChunkBytes>,
    ) -> usize {
        let mut total = 0;
        loop {
            let filled = self.chunks.back_mut().map_or(0, |last| last.fill(data));
            total += filled;
            data = data.get(filled..).unwrap_or_default();
            if data.is_empty() {
                break;
            }
            let Some(bytes) = take() else { break };
            if self.chunks.capacity() == 0 {
                self.chunks = pool.take_table();
            }
            self.chunks.push_back(Chunk::new(bytes, claimed, pool));
        }
        self.length += total;
        total
    }

    /// The bytes in order, one slice a chunk.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Chunk::filled)
    }

    /// The first slice, to be changed in place.
    pub(crate) fn first_mut(&mut self) -> Option<&mut [u8]> {
        self.chunks.front_mut().map(Chunk::filled_mut)
    }

    /// Writes until the rope is empty or no more is taken; returns how many bytes
    /// were.
    pub(crate) fn write_to(&mut self, taker: &impl TakesSlices) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let written = self.write_once(taker)?;
            if written == 0 {
                break;
            }
            total += written;
        }
        Ok(total)
    }

    /// [`write_to`](Self::write_to) of some chunks at most.
    pub(crate) fn write_once(&mut self, taker: &impl TakesSlices) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let mut used = 0;
        for (slot, slice) in slices.iter_mut().zip(self.slices()) {
            *slot = IoSlice::new(slice);
            used += 1;
        }
        let written = taker.try_write_vectored(slices.get(..used).unwrap_or_default())?;
        self.advance(written);
        Ok(written)
    }

    /// Drops `count` bytes from the front.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.length -= count.min(self.length);
        while let Some(first) = self.chunks.front_mut() {
            let length = first.filled().len();
            if count < length {
                first.start += count as u16;
                return;
            }
            count -= length;
            let gone = self.chunks.pop_front();
            if let Some(last) = gone.filter(|_| self.chunks.is_empty()) {
                // An idle connection keeps no table of chunks either.
                last.pool.give_table(mem::take(&mut self.chunks));
            }
        }
    }

    /// Copies bytes from the front into `out`, drops them here and returns how
    /// many there were.
    pub(crate) fn copy_out(&mut self, out: &mut [u8]) -> usize {
        let mut copied = 0;
        for slice in self.slices() {
            let Some(room) = out.get_mut(copied..) else {
                break;
            };
            let length = room.len().min(slice.len());
            if let (Some(to), Some(from)) = (room.get_mut(..length), slice.get(..length)) {
                to.copy_from_slice(from);
            }
            copied += length;
        }
        self.advance(copied);
        copied
    }

    /// Takes `length` bytes off the front, as a rope of their own.
    pub(crate) fn split_front(&mut self, length: usize, pool: &Rc<BufferPool>) -> Rope {
        let mut front = Rope::default();
        while front.len() < length {
            let Some(slice) = self.first_mut() else { break };
            let part = slice.len().min(length - front.len());
            front.append_overdrawn(pool, slice.get(..part).unwrap_or_default());
            self.advance(part);
        }
        front
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
