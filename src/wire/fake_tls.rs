//! The records that carry a fake-TLS connection once both hellos are through
//! (`doc/protocol.md` §6): content type, version `0303`, u16 BE length, payload.

use std::fmt;
use std::ops::Range;

use super::bytes::{Gather, take_up_to};

/// The longest payload that every client takes, in bytes.
pub const MAX_RECORD: usize = 16_384;

/// What TLS 1.3 adds to the data in a record: its content type and a tag of 16
/// bytes. No payload of a real server is shorter.
pub const SHORTEST_RECORD: usize = 17;

/// The payload that servers fill their records to.
pub const FULL_RECORD: usize = MAX_RECORD + SHORTEST_RECORD;

/// The TLS alert for a hello that cannot be read: fatal, decode_error.
pub const DECODE_ERROR_ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32];

/// The same of a server that has nothing to show for the name: fatal, unrecognized_name.
pub const UNRECOGNIZED_NAME_ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// The longest payload that is accepted: TLS 1.3 adds up to 256 bytes.
pub(crate) const MAX_RECORD_IN: usize = MAX_RECORD + 256;

/// What stands once before the data of either side.
pub const CHANGE_CIPHER_SPEC: [u8; 6] = [CHANGE_CIPHER_SPEC_TYPE, 3, 3, 0, 1, 1];

const HEADER_LEN: usize = 5;
const APPLICATION_DATA: u8 = 0x17;
const CHANGE_CIPHER_SPEC_TYPE: u8 = 0x14;

/// What precedes `len` bytes of payload, at most [`FULL_RECORD`].
pub fn record_header(len: usize) -> [u8; HEADER_LEN] {
    let [high, low] = (len as u16).to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

/// Finds the payloads of application-data records as their bytes arrive, in
/// place, however they are cut; ChangeCipherSpec records are skipped.
#[derive(Default)]
pub struct RecordReader {
    header: Gather<HEADER_LEN>,
    /// Bytes of the current record that have not come.
    left: usize,
    skipping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Neither application data nor ChangeCipherSpec: its content type.
    Type(u8),
    Version([u8; 2]),
    Length(usize),
}

impl RecordReader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of payload off the front of `input`; `None`: it is
    /// used up. After an error the stream makes no sense any more.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>, RecordError> {
        while !input.is_empty() {
            if self.left == 0 {
                let Some(header) = self.header.fill(input) else {
                    return Ok(None);
                };
                self.start(header)?;
                continue;
            }
            let piece = take_up_to(input, self.left);
            self.left -= piece.len();
            if !self.skipping {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Moves the payloads of all records in `bytes` together and tells where they are now.
    /// The first one stays where it is: most reads hold one record.
    pub fn join(&mut self, bytes: &mut [u8]) -> Result<Range<usize>, RecordError> {
        let total = bytes.len();
        let mut joined = 0..0;
        let mut read = 0;
        loop {
            let mut input = bytes.get_mut(read..).unwrap_or_default();
            let Some(length) = self.next(&mut input)?.map(|payload| payload.len()) else {
                return Ok(joined);
            };
            read = total - input.len();
            let payload = read - length..read;
            if joined.is_empty() {
                joined = payload;
            } else {
                bytes.copy_within(payload, joined.end);
                joined.end += length;
            }
        }
    }

    fn start(&mut self, header: [u8; HEADER_LEN]) -> Result<(), RecordError> {
        let [kind, major, minor, high, low] = header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let max = match kind {
            APPLICATION_DATA => MAX_RECORD_IN,
            CHANGE_CIPHER_SPEC_TYPE => 1,
            kind => return Err(RecordError::Type(kind)),
        };
        if [major, minor] != [3, 3] {
            return Err(RecordError::Version([major, minor]));
        }
        if len > max {
            return Err(RecordError::Length(len));
        }
        self.left = len;
        self.skipping = kind == CHANGE_CIPHER_SPEC_TYPE;
        Ok(())
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "a TLS record of type {kind:#04x}"),
            Self::Version([major, minor]) => {
                write!(f, "a TLS record of version {major}.{minor}")
            }
            Self::Length(len) => write!(f, "a TLS record of {len} bytes"),
        }
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &mut [&mut [u8]]) -> Result<Vec<u8>, RecordError> {
        let (mut reader, mut payload) = (RecordReader::new(), Vec::new());
        for mut piece in pieces.iter_mut().map(|piece| &mut **piece) {
            while let Some(part) = reader.next(&mut piece)? {
                payload.extend_from_slice(part);
            }
            assert!(piece.is_empty());
        }
        Ok(payload)
    }

    #[test]
    fn payloads_survive_every_split() {
        let mut bytes = Vec::new();
        for payload in [&b"first"[..], b"", b"second"] {
            bytes.extend_from_slice(&CHANGE_CIPHER_SPEC);
            bytes.extend_from_slice(&record_header(payload.len()));
            bytes.extend_from_slice(payload);
        }
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at_mut(cut);
            assert_eq!(read(&mut [head, tail]).unwrap(), b"firstsecond");
        }
        let mut singles: Vec<_> = bytes.chunks_mut(1).collect();
        assert_eq!(read(&mut singles).unwrap(), b"firstsecond");
    }

    #[test]
    fn the_longest_record_and_what_is_refused() {
        let read = |bytes: &[u8]| read(&mut [&mut bytes.to_vec()]).map(|payload| payload.len());
        let mut longest = record_header(MAX_RECORD_IN).to_vec();
        longest.resize(5 + MAX_RECORD_IN, 7);
        assert_eq!(read(&longest), Ok(MAX_RECORD_IN));
        let too_long = MAX_RECORD_IN + 1;
        assert_eq!(
            read(&record_header(too_long)),
            Err(RecordError::Length(too_long))
        );
        assert_eq!(read(&[0x14, 3, 3, 0, 2]), Err(RecordError::Length(2)));
        assert_eq!(read(&DECODE_ERROR_ALERT), Err(RecordError::Type(0x15)));
        assert_eq!(read(&[0x17, 3, 1, 0, 1]), Err(RecordError::Version([3, 1])));
    }
}
