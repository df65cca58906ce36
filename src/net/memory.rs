//! The two sizes that memory for bytes comes in: the scratch buffer that every read
//! goes into, and the chunk for what has to wait.

use std::cell::RefCell;

/// Bytes in one chunk. With the few bytes that an allocator adds it fits into a page of
/// memory; for 4096 bytes the allocator of the router builds, which rounds up to powers
/// of two, would take two pages.
pub(crate) const CHUNK_LEN: usize = 4064;

/// What one chunk holds.
pub(super) type ChunkBytes = Box<[u8; CHUNK_LEN]>;

/// Bytes that one read from the kernel takes at most.
pub(crate) const SCRATCH_LEN: usize = 64 * 1024;

/// The one buffer that all tasks read into.
///
/// What is in it is used up within the closure, which cannot wait: so an idle
/// connection holds no buffer, and 10,000 of them share these 64 KiB.
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; SCRATCH_LEN].into_boxed_slice()))
    }
}

impl Scratch {
    /// Lends the buffer, or `None` to a caller inside another caller's use.
    pub(crate) fn with<T>(&self, use_buffer: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        Some(use_buffer(&mut self.0.try_borrow_mut().ok()?))
    }
}
