//! The way out through a WebSocket: one message a frame, written as it comes. Only what
//! the kernel does not take of a frame that has begun is kept.

use std::io::{self, IoSlice};
use std::rc::Rc;

use super::super::notes::Notes;
use super::slices::first_of;
use crate::http::Connection;
use crate::net::{BufferPool, Rope, SCRATCH_LEN};
use crate::wire::web::{HEADER_LEN, StreamId, data_header};
use crate::wire::websocket::server_header;

/// Slices of a client's that one write takes, and the headers before them.
const SLICES: usize = 7;

/// What a frame carries while buffers are short, as its rest may have to wait in them.
const SHORT_FRAME: usize = 4096;

pub(in crate::web) struct Outlet {
    connection: Rc<Connection>,
    /// Of the last frame.
    rest: Rope,
}

/// Headers in front of a payload: WebSocket's, at most 10 bytes, and the frame's.
type Headers = heapless::Vec<u8, { 10 + HEADER_LEN }>;

impl Outlet {
    pub(crate) fn new(connection: Rc<Connection>) -> Self {
        Self {
            connection,
            rest: Rope::default(),
        }
    }

    pub(in crate::web) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Bytes of what has begun that wait for the kernel.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// All that has begun is with the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.rest.is_empty() && self.connection.is_flushed()
    }

    pub(crate) fn is_free(&self) -> bool {
        self.is_flushed() && self.connection.socket().is_writable()
    }

    pub(crate) fn flush(
        &mut self,
        notes: &mut Notes,
        buffers: &Rc<BufferPool>,
    ) -> io::Result<bool> {
        loop {
            self.write_rest()?;
            if !self.is_flushed() {
                return Ok(false);
            }
            if notes.is_empty() {
                return Ok(true);
            }
            let frames = notes.take();
            self.send(&[&server_header(frames.len()), &frames], buffers)?;
        }
    }

    /// Sends this whole, a control frame of WebSocket for one, behind what has begun.
    pub(crate) fn send(&mut self, parts: &[&[u8]], buffers: &Rc<BufferPool>) -> io::Result<()> {
        let written = match self.is_flushed() {
            true => self.connection.try_write(parts)?,
            false => 0,
        };
        self.keep(parts.iter().copied(), written, buffers);
        Ok(())
    }

    pub(crate) fn write(
        &mut self,
        stream: StreamId,
        slices: &[IoSlice<'_>],
        most: usize,
        buffers: &Rc<BufferPool>,
    ) -> io::Result<usize> {
        let is_short = buffers.free_bytes() < buffers.total_bytes() / 4;
        let longest = if is_short { SHORT_FRAME } else { SCRATCH_LEN };
        let slices = slices.get(..SLICES).unwrap_or(slices);
        let most = most.min(longest);
        let length = first_of(slices, most, |_| {});
        if length == 0 {
            return Ok(0);
        }
        let mut headers = Headers::new();
        let _ = headers.extend_from_slice(&server_header(HEADER_LEN + length));
        let _ = headers.extend_from_slice(&data_header(stream, length));
        let mut parts: heapless::Vec<&[u8], { SLICES + 1 }> = heapless::Vec::new();
        let _ = parts.push(&headers);
        first_of(slices, most, |part| {
            let _ = parts.push(part);
        });
        let written = self.connection.try_write(&parts)?;
        if written == 0 {
            return Ok(0);
        }
        self.keep(parts.iter().copied(), written, buffers);
        Ok(length)
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let written = {
                let slices = self.rest.slices().take(SLICES + 1);
                let slices: heapless::Vec<&[u8], { SLICES + 1 }> = slices.collect();
                self.connection.try_write(&slices)?
            };
            if written == 0 {
                break;
            }
            self.rest.advance(written);
        }
        Ok(())
    }

    /// Keeps what lies behind the first `written` bytes of `parts`.
    fn keep<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        mut written: usize,
        buffers: &Rc<BufferPool>,
    ) {
        for part in parts {
            let skipped = written.min(part.len());
            written -= skipped;
            if let Some(rest) = part.get(skipped..)
                && !rest.is_empty()
            {
                self.rest.append_overdrawn(buffers, rest);
            }
        }
    }
}
