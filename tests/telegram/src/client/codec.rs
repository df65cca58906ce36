//! What a client makes of packets, and of what comes: no socket in it.

use std::ops::RangeTo;

use crate::obfuscated::{self, Streams};
use crate::tls;
use crate::transport::{Side, Transport, Unit};

pub struct Codec {
    transport: Transport,
    streams: Streams,
    in_records: bool,
    /// Payload of one record that it sends.
    record_len: usize,
    is_line: bool,
    /// Goes before the next bytes: the stream's header.
    unsent: Vec<u8>,
    /// Bytes of records that are not whole yet.
    sealed: Vec<u8>,
    /// Decrypted bytes from `taken` on.
    clear: Vec<u8>,
    taken: usize,
}

impl Codec {
    /// Of a client of this DC; `None`: without a secret, as to the DC itself.
    pub fn new(transport: Transport, dc: i16, key: Option<&[u8; 16]>) -> Self {
        let (header, streams) = obfuscated::initiate(transport, dc, key);
        let mut codec = Self::over(transport, streams);
        codec.unsent = header.to_vec();
        codec
    }

    /// Of a client that has sent this header.
    pub fn behind(header: &[u8; 64], key: &[u8; 16]) -> Result<Self, String> {
        let accepted = obfuscated::accept(header, Some(key))?;
        Ok(Self::over(accepted.transport, accepted.streams))
    }

    /// Of a client whose header is sent by somebody else.
    pub(crate) fn over(transport: Transport, streams: Streams) -> Self {
        Self {
            transport,
            streams,
            in_records: false,
            record_len: tls::MAX_RECORD,
            is_line: false,
            unsent: Vec::new(),
            sealed: Vec::new(),
            clear: Vec::new(),
            taken: 0,
        }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// From here on there are records, both ways: the server's flight is over.
    pub fn begin_records(&mut self) {
        self.in_records = true;
    }

    /// Sends records of so many bytes of payload.
    pub fn cut_records(&mut self, len: usize) {
        self.record_len = len;
    }

    /// What comes is a stream without packets, which has no end of one to be
    /// checked.
    pub fn expect_no_packets(&mut self) {
        self.is_line = true;
    }

    /// One packet, ready for the wire, with these random bytes behind it if it
    /// is of the transport that has such.
    pub fn packet(&mut self, payload: &[u8], quick_ack: bool, padding: &[u8]) -> Vec<u8> {
        let packet = self.transport.frame_with(payload, quick_ack, padding);
        self.seal(packet)
    }

    /// Bytes inside the stream, ready for the wire.
    pub fn seal(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        self.streams.from_initiator.apply(&mut bytes);
        let mut all = std::mem::take(&mut self.unsent);
        all.append(&mut bytes);
        if !self.in_records {
            return all;
        }
        let mut sealed = Vec::with_capacity(all.len() + 64);
        for part in all.chunks(self.record_len) {
            let header = tls::record_header(tls::APPLICATION_DATA, 3, part.len());
            sealed.extend_from_slice(&header);
            sealed.extend_from_slice(part);
        }
        sealed
    }

    /// Takes what came from the wire; an error says what no proxy sends.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        if !self.in_records {
            self.open(bytes);
            return Ok(());
        }
        let mut sealed = std::mem::take(&mut self.sealed);
        sealed.extend_from_slice(bytes);
        let mut done = 0;
        while let Some((kind, body, used)) = tls::split_record(&sealed[done..]) {
            if kind != tls::APPLICATION_DATA || body.len() > tls::FULL_RECORD {
                return Err(format!("a record {kind:02x} of {} bytes", body.len()));
            }
            let start = self.clear.len();
            self.open(body);
            // Only what is short itself may have a record that no server makes.
            if body.len() < tls::SEAL
                && !self.is_line
                && !(self.is_whole(..start)? && self.is_whole(..self.clear.len())?)
            {
                return Err(format!("a record of {} bytes of a packet", body.len()));
            }
            done += used;
        }
        sealed.drain(..done);
        self.sealed = sealed;
        Ok(())
    }

    /// The next packet or quick-ack, once it is whole.
    pub fn next_unit(&mut self) -> Result<Option<Unit>, String> {
        let input = &self.clear[self.taken..];
        let Some((unit, used)) = self.transport.parse(input, Side::Client)? else {
            self.clear.drain(..self.taken);
            self.taken = 0;
            return Ok(None);
        };
        self.advance(used);
        Ok(Some(unit))
    }

    /// The next `len` bytes of the stream, once they are there.
    pub fn next_bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let bytes = self.clear[self.taken..].get(..len)?.to_vec();
        self.advance(len);
        Some(bytes)
    }

    fn advance(&mut self, used: usize) {
        self.taken += used;
        if self.taken == self.clear.len() {
            self.taken = 0;
            self.clear = Vec::new();
        }
    }

    fn open(&mut self, bytes: &[u8]) {
        let start = self.clear.len();
        self.clear.extend_from_slice(bytes);
        self.streams.to_initiator.apply(&mut self.clear[start..]);
    }

    /// Whether what came up to there ends with a packet.
    fn is_whole(&self, clear: RangeTo<usize>) -> Result<bool, String> {
        let mut rest = &self.clear[clear][self.taken..];
        while let Some((_, used)) = self.transport.parse(rest, Side::Client)? {
            rest = &rest[used..];
        }
        Ok(rest.is_empty())
    }
}
