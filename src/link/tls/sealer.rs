use std::cell::RefCell;
use std::rc::Rc;

use rustls::{AlertDescription, Error};

use super::record::{HEADER_LEN, Key, Kind, RECORD_LEN, TAIL_LEN};
use super::schedule::Schedule;
use crate::link::fault::Fault;
use crate::net::{BufferPool, Rope, SCRATCH_LEN, Socket};

/// Records that a key is used for: half of what is safe with AES-GCM.
const RECORDS_PER_KEY: u64 = 1 << 23;

/// Asks for nothing in return: the other side counts its own records.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The length of the record of that, and more than any alert's.
const UPDATE_LEN: usize = HEADER_LEN + KEY_UPDATE.len() + TAIL_LEN;

/// Records that are sealed together go through this one buffer of all links: as
/// many as the other side reads at once.
pub type Batch = Rc<RefCell<Box<[u8]>>>;

pub fn new_batch() -> Batch {
    Rc::new(RefCell::new(vec![0; SCRATCH_LEN].into_boxed_slice()))
}

/// What goes out on a connection, from the handshake's end on.
pub struct Sealer {
    key: Key,
    pub schedule: Schedule,
    batch: Batch,
    buffers: Rc<BufferPool>,
    /// Sealed, refused by the kernel so far: at most one batch.
    left: Rope,
    /// The other side wants new keys of us too.
    owes_update: bool,
    records_per_key: u64,
}

impl Sealer {
    /// `left` is the rest of the handshake.
    pub fn new(
        key: Key,
        schedule: Schedule,
        batch: Batch,
        buffers: &Rc<BufferPool>,
        left: &[u8],
    ) -> Self {
        let mut sealer = Self {
            key,
            schedule,
            batch,
            buffers: buffers.clone(),
            left: Rope::default(),
            owes_update: false,
            records_per_key: RECORDS_PER_KEY,
        };
        sealer.keep(left);
        sealer
    }

    pub fn is_flushed(&self) -> bool {
        self.left.is_empty()
    }

    pub fn owe_update(&mut self) {
        self.owes_update = true;
    }

    /// Seals of `slices` what goes into one batch and writes that; returns how
    /// much it was. Nothing, as long as the kernel has not taken all before.
    pub fn write<'a>(
        &mut self,
        socket: &Socket,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Fault> {
        if !self.flush(socket)? {
            return Ok(0);
        }
        let batch = self.batch.clone();
        let mut batch = batch.borrow_mut();
        let (taken, sealed) = self.seal(&mut batch, slices).map_err(Fault::tls)?;
        self.send(socket, batch.get(..sealed).unwrap_or_default())?;
        Ok(taken)
    }

    /// Whether the kernel has taken everything.
    pub fn flush(&mut self, socket: &Socket) -> Result<bool, Fault> {
        self.left.write_to(socket).map_err(Fault::Broken)?;
        Ok(self.left.is_empty())
    }

    /// The last words, lost if the kernel has no room for them.
    pub fn alert(&mut self, socket: &Socket, why: AlertDescription) {
        let mut record = [0; HEADER_LEN + 2 + TAIL_LEN];
        let [_, _, _, _, _, level, code, ..] = &mut record;
        (*level, *code) = (2, why.into());
        if self.key.seal(&mut record, Kind::Alert).is_ok() && self.left.is_empty() {
            let _ = socket.try_write(&record);
        }
    }

    fn send(&mut self, socket: &Socket, sealed: &[u8]) -> Result<(), Fault> {
        if sealed.is_empty() {
            return Ok(());
        }
        let written = socket.try_write(sealed).map_err(Fault::Broken)?;
        self.keep(sealed.get(written..).unwrap_or_default());
        Ok(())
    }

    fn keep(&mut self, sealed: &[u8]) {
        self.left.append_overdrawn(&self.buffers, sealed);
    }

    /// Makes records of `slices` in `batch`; how many bytes of those are in, and
    /// how many bytes the records have.
    pub fn seal<'a>(
        &mut self,
        batch: &mut [u8],
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(usize, usize), Error> {
        let (mut taken, mut sealed, mut content) = (0, 0, 0);
        for mut slice in slices {
            while !slice.is_empty() {
                if content == 0 {
                    sealed += self.renew(batch.get_mut(sealed..).unwrap_or_default())?;
                }
                let space = batch.get_mut(sealed..).unwrap_or_default();
                let end = space.len().min(RECORD_LEN).saturating_sub(TAIL_LEN);
                let room = space.get_mut(HEADER_LEN + content..end);
                let room = room.unwrap_or_default();
                let length = room.len().min(slice.len());
                let (now, later) = slice.split_at(length);
                if let Some(room) = room.get_mut(..length) {
                    room.copy_from_slice(now);
                }
                content += length;
                taken += length;
                slice = later;
                if !slice.is_empty() {
                    // The record is full.
                    if content == 0 {
                        return Ok((taken, sealed));
                    }
                    sealed += self.close(space, content)?;
                    content = 0;
                }
            }
        }
        if content > 0 {
            let space = batch.get_mut(sealed..).unwrap_or_default();
            sealed += self.close(space, content)?;
        }
        Ok((taken, sealed))
    }

    fn close(&mut self, space: &mut [u8], content: usize) -> Result<usize, Error> {
        let length = HEADER_LEN + content + TAIL_LEN;
        let record = space.get_mut(..length).unwrap_or_default();
        self.key.seal(record, Kind::Data)?;
        Ok(length)
    }

    /// Goes on with a new key if it is time, which the other side is told in a
    /// record of its own, under the old one.
    fn renew(&mut self, space: &mut [u8]) -> Result<usize, Error> {
        let is_time = self.owes_update || self.key.records() >= self.records_per_key;
        let record = match space.get_mut(..UPDATE_LEN) {
            Some(record) if is_time => record,
            _ => return Ok(0),
        };
        if let Some(content) = record.get_mut(HEADER_LEN..UPDATE_LEN - TAIL_LEN) {
            content.copy_from_slice(&KEY_UPDATE);
        }
        self.key.seal(record, Kind::Handshake)?;
        self.key = self.schedule.next_to_peer()?;
        self.owes_update = false;
        Ok(UPDATE_LEN)
    }

    #[cfg(test)]
    pub fn key(&mut self) -> &mut Key {
        &mut self.key
    }

    #[cfg(test)]
    pub fn renew_after(&mut self, records: u64) {
        self.records_per_key = records;
    }
}
