use super::record::{HEADER_LEN, Key, Kind, RECORD_LEN, TAIL_LEN};
use super::{KeySchedule, TlsError};

/// Records that a key is used for: half of what is safe with AES-GCM.
pub const RECORDS_PER_KEY: u64 = 1 << 23;

/// Asks for nothing in return: the other side counts its own records.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The length of the record of that.
const UPDATE_LEN: usize = HEADER_LEN + KEY_UPDATE.len() + TAIL_LEN;

/// What goes out on a connection, from the handshake's end on.
pub struct Sealer {
    key: Key,
    /// The other side wants new keys of us too.
    owes_update: bool,
    records_per_key: u64,
}

impl Sealer {
    /// Changes the key after `records_per_key`, at most [`RECORDS_PER_KEY`].
    pub fn new(key: Key, records_per_key: u64) -> Self {
        Self {
            key,
            owes_update: false,
            records_per_key: records_per_key.min(RECORDS_PER_KEY),
        }
    }

    pub fn owe_update(&mut self) {
        self.owes_update = true;
    }

    /// Makes a record of `record`, whose content stands between the places for
    /// its header and its tail.
    pub fn seal_one(&mut self, record: &mut [u8], kind: Kind) -> Result<(), TlsError> {
        self.key.seal(record, kind)
    }

    /// Makes records of `slices` in `batch`; how many bytes of those are in, and
    /// how many bytes the records have. What has room in no record of `batch` is left.
    pub fn seal<'a>(
        &mut self,
        batch: &mut [u8],
        slices: impl Iterator<Item = &'a [u8]>,
        schedule: &mut dyn KeySchedule,
    ) -> Result<(usize, usize), TlsError> {
        let (mut taken, mut sealed, mut content) = (0, 0, 0);
        for mut slice in slices {
            while !slice.is_empty() {
                if content == 0 {
                    sealed += self.renew(batch.get_mut(sealed..).unwrap_or_default(), schedule)?;
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

    fn close(&mut self, space: &mut [u8], content: usize) -> Result<usize, TlsError> {
        let length = HEADER_LEN + content + TAIL_LEN;
        let record = space.get_mut(..length).unwrap_or_default();
        self.key.seal(record, Kind::Data)?;
        Ok(length)
    }

    /// Goes on with a new key if it is time, which the other side is told in a
    /// record of its own, under the old one.
    fn renew(
        &mut self,
        space: &mut [u8],
        schedule: &mut dyn KeySchedule,
    ) -> Result<usize, TlsError> {
        let is_time = self.owes_update || self.key.records() >= self.records_per_key;
        let record = match space.get_mut(..UPDATE_LEN) {
            Some(record) if is_time => record,
            _ => return Ok(0),
        };
        if let Some(content) = record.get_mut(HEADER_LEN..UPDATE_LEN - TAIL_LEN) {
            content.copy_from_slice(&KEY_UPDATE);
        }
        self.key.seal(record, Kind::Handshake)?;
        self.key = schedule.next_to_peer()?;
        self.owes_update = false;
        Ok(UPDATE_LEN)
    }
}
