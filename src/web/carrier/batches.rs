//! The way out through answers to polls: frames are collected until one asks, and what it
//! was given is kept until the next one says that it has come.

use std::io::IoSlice;
use std::rc::Rc;

use super::super::notes::Notes;
use super::slices::first_of;
use crate::net::{BufferPool, Rope, SCRATCH_LEN};
use crate::wire::web::{MAX_FRAMES, StreamId, data_header};

/// Bytes that one batch has at most, but for the last frame's: what comes down in a round
/// trip. A quarter of it while buffers are short.
const MAX_BATCH: usize = 128 * 1024;

/// Frames of one batch; notes may come on top.
const ENOUGH_FRAMES: usize = MAX_FRAMES / 2;

/// What a poll is answered with.
pub(in crate::web) struct Batch {
    /// It is what came behind this cursor.
    cursor: u64,
    pub(crate) bytes: Rope,
}

#[derive(Default)]
pub(in crate::web) struct Batches {
    /// Those that were taken over: the cursor of the next batch.
    cursor: u64,
    coming: Rope,
    frames: usize,
    /// Given out, and not acknowledged.
    last: Option<Rc<Batch>>,
    is_short: bool,
}

/// How a poll's cursor is taken.
pub(in crate::web) enum Asked {
    /// To be answered with this one, and the cursor behind it.
    Batch(Rc<Batch>, u64),
    /// There is nothing yet.
    Nothing,
    /// No poll of this session asks so.
    Wrong,
}

impl Batches {
    pub(crate) fn has_room(&self) -> bool {
        let most = if self.is_short {
            MAX_BATCH / 4
        } else {
            MAX_BATCH
        };
        self.coming.len() < most && self.frames < ENOUGH_FRAMES
    }

    /// A poll has been given all that has come.
    pub(crate) fn is_taken(&self) -> bool {
        self.coming.is_empty()
    }

    pub(crate) fn flush(&mut self, notes: &mut Notes, buffers: &Rc<BufferPool>) -> bool {
        self.look(buffers);
        while !notes.is_empty() && self.has_room() {
            let frames = notes.take();
            self.frames += frames.len() / 8;
            self.coming.append_overdrawn(buffers, &frames);
        }
        notes.is_empty()
    }

    pub(crate) fn write(
        &mut self,
        stream: StreamId,
        slices: &[IoSlice<'_>],
        most: usize,
        buffers: &Rc<BufferPool>,
    ) -> usize {
        self.look(buffers);
        let room = MAX_BATCH.saturating_sub(self.coming.len());
        let most = most.min(SCRATCH_LEN).min(room);
        let length = first_of(slices, most, |_| {});
        if length == 0 || !self.has_room() {
            return 0;
        }
        self.coming
            .append_overdrawn(buffers, &data_header(stream, length));
        first_of(slices, most, |part| {
            self.coming.append_overdrawn(buffers, part);
        });
        self.frames += 1;
        length
    }

    fn look(&mut self, buffers: &BufferPool) {
        self.is_short = buffers.free_bytes() < buffers.total_bytes() / 4;
    }

    /// A poll asks for what comes behind `cursor`.
    pub(crate) fn ask(&mut self, cursor: u64) -> Asked {
        if let Some(last) = &self.last
            && last.cursor == cursor
        {
            return Asked::Batch(last.clone(), cursor + 1);
        }
        if cursor != self.cursor {
            return Asked::Wrong;
        }
        // It has what it was given before.
        self.last = None;
        if self.coming.is_empty() {
            return Asked::Nothing;
        }
        let batch = Rc::new(Batch {
            cursor,
            bytes: std::mem::take(&mut self.coming),
        });
        self.cursor += 1;
        self.frames = 0;
        self.last = Some(batch.clone());
        Asked::Batch(batch, self.cursor)
    }
}
