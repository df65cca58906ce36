//! Records on their way to the socket.

use std::cell::RefCell;
use std::rc::Rc;

use super::error::Error;
use super::records::Records;
use crate::net::{BufferPool, Rope, SCRATCH_LEN, Socket};

/// The longest batch: as much as is read at once, what others put around that, and its
/// records' headers and tails.
const BATCH_LEN: usize = SCRATCH_LEN + 256;

/// The buffer in which records are sealed before they are written, one for all
/// connections. It is there from its first use on.
#[derive(Clone, Default)]
pub(crate) struct Batch(Rc<RefCell<Box<[u8]>>>);

/// What goes out on a connection whose handshake is done.
pub(crate) struct Writer {
    records: Rc<RefCell<Records>>,
    batch: Batch,
    buffers: Rc<BufferPool>,
    /// Sealed and not yet taken by the kernel: at most one batch, and a few alerts of
    /// rustls'.
    left: Rope,
}

impl Writer {
    /// `left` is the rest of the handshake.
    pub(super) fn new(
        records: Rc<RefCell<Records>>,
        batch: Batch,
        buffers: &Rc<BufferPool>,
        left: &[u8],
    ) -> Self {
        let mut writer = Self {
            records,
            batch,
            buffers: buffers.clone(),
            left: Rope::default(),
        };
        writer.keep(left);
        writer
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.left.is_empty()
    }

    /// Seals as much of `slices` as one batch has room for and writes that; returns how
    /// much it was. That is nothing while the kernel has not taken all of the last batch.
    /// The records are no more than another one of us reads at once.
    pub(crate) fn write<'a>(
        &mut self,
        socket: &Socket,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Error> {
        self.write_batch(socket, slices, SCRATCH_LEN)
    }

    /// The same, with room for all that was read at once and for a few headers around it.
    pub(crate) fn write_framed<'a>(
        &mut self,
        socket: &Socket,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Error> {
        self.write_batch(socket, slices, BATCH_LEN)
    }

    fn write_batch<'a>(
        &mut self,
        socket: &Socket,
        slices: impl Iterator<Item = &'a [u8]>,
        most: usize,
    ) -> Result<usize, Error> {
        if !self.flush(socket)? {
            return Ok(0);
        }
        let batch = self.batch.clone();
        let mut batch = batch.0.borrow_mut();
        if batch.is_empty() {
            *batch = vec![0; BATCH_LEN].into_boxed_slice();
        }
        let space = batch.get_mut(..most).unwrap_or_default();
        let (taken, sealed) = self.records.borrow_mut().seal(space, slices)?;
        self.send(socket, batch.get(..sealed).unwrap_or_default())?;
        Ok(taken)
    }

    /// Whether the kernel has taken everything.
    pub(crate) fn flush(&mut self, socket: &Socket) -> Result<bool, Error> {
        self.left.write_to(socket).map_err(Error::Broken)?;
        Ok(self.left.is_empty())
    }

    /// Says that this side sends no more, behind all that waits. Nothing may be written
    /// after it; who has the socket shuts it down once this is flushed.
    pub(crate) fn close(&mut self, socket: &Socket) -> Result<(), Error> {
        let record = self.records.borrow_mut().close();
        if let Some(record) = record {
            self.keep(&record);
        }
        self.flush(socket).map(|_| ())
    }

    /// The last words, lost if the kernel has no room for them.
    pub(super) fn alert(&mut self, socket: &Socket, number: u8) {
        let record = self.records.borrow_mut().alert(number);
        if let Some(record) = record
            && self.left.is_empty()
        {
            let _ = socket.try_write(&record);
        }
    }

    fn send(&mut self, socket: &Socket, sealed: &[u8]) -> Result<(), Error> {
        if sealed.is_empty() {
            return Ok(());
        }
        let written = socket.try_write(sealed).map_err(Error::Broken)?;
        self.keep(sealed.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Waits for the kernel behind what waits already.
    pub(super) fn keep(&mut self, sealed: &[u8]) {
        self.left.append_overdrawn(&self.buffers, sealed);
    }
}
