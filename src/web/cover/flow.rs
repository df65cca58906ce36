use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::http::Connection;
use crate::net::{BufferPool, Rope};

/// More parts than one write has.
const MAX_PARTS: usize = 8;

/// What goes to one side: one read's bytes at most wait here until that side takes them.
pub(super) struct Flow {
    buffers: Rc<BufferPool>,
    left: Rope,
    moved: u64,
}

impl Flow {
    pub(super) fn new(buffers: &Rc<BufferPool>) -> Self {
        Self {
            buffers: buffers.clone(),
            left: Rope::default(),
            moved: 0,
        }
    }

    /// Lets `data` wait for what follows, so that both go in one write.
    pub(super) fn hold(&mut self, data: &[u8]) {
        self.left.append_overdrawn(&self.buffers, data);
    }

    /// Takes all of `data`, behind what waits.
    pub(super) fn send(&mut self, to: &Connection, data: &[u8]) -> io::Result<()> {
        let written = match self.left.is_empty() {
            true => to.try_write(&[data])?,
            false => 0,
        };
        self.moved += written as u64;
        let left = data.get(written..).unwrap_or_default();
        self.left.append_overdrawn(&self.buffers, left);
        Ok(())
    }

    /// Ready when nothing waits any more.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        to: &Connection,
    ) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let mut parts: [&[u8]; MAX_PARTS] = [&[]; MAX_PARTS];
            let mut count = 0;
            for (part, slice) in parts.iter_mut().zip(self.left.slices()) {
                *part = slice;
                count += 1;
            }
            let written = to.try_write(parts.get(..count).unwrap_or_default())?;
            self.left.advance(written);
            self.moved += written as u64;
            if written == 0 {
                ready!(to.poll_writable(cx))?;
            }
        }
        // What was sealed of it goes on its way too.
        while !to.is_flushed() {
            ready!(to.poll_writable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes that the side has taken.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }
}
