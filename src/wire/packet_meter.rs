//! Where packets begin and end in a client's stream, which may be cut anywhere.

use super::transport::{PacketHeader, Transport, TransportError};

/// Reads packet headers out of a stream that may be cut anywhere.
pub struct HeaderReader {
    transport: Transport,
    partial: heapless::Vec<u8, 4>,
}

impl HeaderReader {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            partial: heapless::Vec::new(),
        }
    }

    /// Takes the next header off the front of `input`; `None` when it is not
    /// complete, with all of `input` taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<PacketHeader>, TransportError> {
        loop {
            if let Some(header) = self.transport.parse_header(&self.partial)? {
                self.partial.clear();
                return Ok(Some(header));
            }
            if self.partial.is_empty()
                && let Some(header) = self.transport.parse_header(input)?
            {
                *input = input.get(header.header_len..).unwrap_or_default();
                return Ok(Some(header));
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            // Four bytes always make a header, so there is room for the next.
            let _ = self.partial.push(*byte);
        }
    }

    /// Bytes to read so that nothing behind the header comes along.
    pub fn wanted(&self) -> usize {
        match (self.transport, self.partial.len()) {
            (Transport::Abridged, 0) => 1,
            (_, have) => 4 - have.min(3),
        }
    }
}

/// Follows packet boundaries in a stream that passes by unchanged, so that the
/// limits on packets hold there too.
pub struct PacketMeter {
    headers: HeaderReader,
    body_left: usize,
}

impl PacketMeter {
    pub fn new(transport: Transport) -> Self {
        Self {
            headers: HeaderReader::new(transport),
            body_left: 0,
        }
    }

    /// How many packets begin in `bytes`.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<u64, TransportError> {
        let mut begun = 0;
        loop {
            let skipped = self.body_left.min(bytes.len());
            self.body_left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(begun);
            }
            if let Some(header) = self.headers.next(&mut bytes)? {
                self.body_left = header.body_len;
                begun += 1;
            }
        }
    }
}
