//! Records on their way to the socket.

use std::cell::RefCell;
use std::rc::Rc;

use super::error::{Error, as_rustls};
use super::schedule::Schedule;
use crate::net::{BufferPool, Rope, SCRATCH_LEN, Socket};
use crate::wire::tls::{HEADER_LEN, Key, Kind, RECORDS_PER_KEY, Sealer, TAIL_LEN};

/// The buffer in which records are sealed before they are written, one for all
/// connections. It is as long as what the other side reads at once.
#[derive(Clone)]
pub(crate) struct Batch(Rc<RefCell<Box<[u8]>>>);

impl Default for Batch {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(
            vec![0; SCRATCH_LEN].into_boxed_slice(),
        )))
    }
}

/// What goes out on a connection whose handshake is done.
pub(crate) struct Writer {
    sealer: Sealer,
    schedule: Schedule,
    batch: Batch,
    buffers: Rc<BufferPool>,
    /// Sealed and not yet taken by the kernel: at most one batch.
    left: Rope,
}

impl Writer {
    /// `left` is the rest of the handshake.
    pub(super) fn new(
        key: Key,
        schedule: Schedule,
        batch: Batch,
        buffers: &Rc<BufferPool>,
        left: &[u8],
    ) -> Self {
        let mut writer = Self {
            sealer: Sealer::new(key, RECORDS_PER_KEY),
            schedule,
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

    pub(super) fn owe_update(&mut self) {
        self.sealer.owe_update();
    }

    pub(super) fn schedule(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// Seals as much of `slices` as one batch has room for and writes that; returns how
    /// much it was. That is nothing while the kernel has not taken all of the last batch.
    pub(crate) fn write<'a>(
        &mut self,
        socket: &Socket,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Error> {
        if !self.flush(socket)? {
            return Ok(0);
        }
        let batch = self.batch.clone();
        let mut batch = batch.0.borrow_mut();
        let sealed = self.sealer.seal(&mut batch, slices, &mut self.schedule);
        let (taken, sealed) = sealed.map_err(as_rustls)?;
        self.send(socket, batch.get(..sealed).unwrap_or_default())?;
        Ok(taken)
    }

    /// Whether the kernel has taken everything.
    pub(crate) fn flush(&mut self, socket: &Socket) -> Result<bool, Error> {
        self.left.write_to(socket).map_err(Error::Broken)?;
        Ok(self.left.is_empty())
    }

    /// The last words, lost if the kernel has no room for them.
    pub(super) fn alert(&mut self, socket: &Socket, number: u8) {
        let mut record = [0; HEADER_LEN + 2 + TAIL_LEN];
        let [_, _, _, _, _, level, code, ..] = &mut record;
        (*level, *code) = (2, number);
        if self.sealer.seal_one(&mut record, Kind::Alert).is_ok() && self.left.is_empty() {
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

    fn keep(&mut self, sealed: &[u8]) {
        self.left.append_overdrawn(&self.buffers, sealed);
    }
}
