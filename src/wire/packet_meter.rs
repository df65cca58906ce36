//! Where packets begin and end in a client's stream, which may be cut anywhere.

use super::bytes::take_up_to;
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

/// Cuts a stream that passes by unchanged into its packets, headers included: what goes on
/// packet by packet, and so says how long each one is before its first byte.
pub struct PacketCutter {
    headers: HeaderReader,
    /// Bytes of the packet under way that have not come.
    left: usize,
}

/// The next bytes of a stream, all of one packet.
#[derive(Debug, PartialEq, Eq)]
pub struct PacketPiece<'a> {
    /// They are the first of their packet that could be handed on.
    pub start: Option<PacketStart>,
    /// Never empty.
    pub bytes: &'a mut [u8],
}

/// A packet whose length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketStart {
    /// Of the packet with its header, in bytes, those in `held` included.
    pub length: usize,
    /// The part of its header that came before, to be sent first.
    pub held: heapless::Vec<u8, 3, u8>,
}

impl PacketCutter {
    pub fn new(transport: Transport) -> Self {
        Self {
            headers: HeaderReader::new(transport),
            left: 0,
        }
    }

    /// Takes the next piece off the front of `input`; `None`: all of it is taken. Up to 3
    /// bytes of a header stay here then, until the rest of it comes.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<PacketPiece<'a>>, TransportError> {
        if input.is_empty() {
            return Ok(None);
        }
        let mut start = None;
        if self.left == 0 {
            let held = self.headers.partial.iter().copied().collect();
            let Some(header) = self.headers.next(&mut &**input)? else {
                *input = &mut [];
                return Ok(None);
            };
            let PacketStart { length, held } = start.insert(PacketStart {
                length: header.header_len + header.body_len,
                held,
            });
            self.left = *length - held.len();
        }
        let bytes = take_up_to(input, self.left);
        self.left -= bytes.len();
        Ok(Some(PacketPiece { start, bytes }))
    }

    /// Bytes of a header that wait for the rest of it, at most 3.
    pub fn held(&self) -> usize {
        self.headers.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use Transport::*;

    /// What a client sends: packets as `packets` says, in words, and whether it wants a
    /// quick-ack; and where each begins.
    fn stream(transport: Transport, packets: &[(usize, bool)]) -> (Vec<u8>, Vec<usize>) {
        let (mut stream, mut starts) = (Vec::new(), Vec::new());
        for (at, &(words, wants_ack)) in packets.iter().enumerate() {
            let padding = if transport == Padded { at % 16 } else { 0 };
            let (payload, padding) = (words * 4 + padding / 4 * 4, padding % 4);
            let mut header = transport.write_header(payload, padding);
            let flag = if transport == Abridged { 0 } else { 3 };
            header[flag] |= if wants_ack { 0x80 } else { 0 };
            starts.push(stream.len());
            stream.extend_from_slice(&header);
            stream.extend(std::iter::repeat_n(at as u8, payload + padding));
        }
        (stream, starts)
    }

    proptest! {
        /// However the stream is cut, each packet is announced with its length before its
        /// first byte goes on, and what goes on is the stream.
        #[test]
        fn the_cutter_finds_every_packet(
            transport in prop::sample::select(vec![Abridged, Intermediate, Padded]),
            packets in vec((1..300usize, any::<bool>()), 1..20),
            cuts in vec(1..40usize, 1..400),
        ) {
            let (mut bytes, starts) = stream(transport, &packets);
            let whole = bytes.clone();
            let (mut cutter, mut meter) = (PacketCutter::new(transport), PacketMeter::new(transport));
            let (mut sent, mut begun, mut promised, mut metered) = (Vec::new(), Vec::new(), 0, 0);
            let mut rest = bytes.as_mut_slice();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut input = rest.split_off_mut(..cut.min(rest.len())).unwrap();
                metered += meter.pass(input).unwrap();
                let before = sent.len() + cutter.held() + input.len();
                while let Some(PacketPiece { start, bytes }) = cutter.next(&mut input).unwrap() {
                    prop_assert!(!bytes.is_empty());
                    if let Some(PacketStart { length, held }) = start {
                        prop_assert_eq!(promised, sent.len());
                        begun.push(promised);
                        promised += length;
                        sent.extend_from_slice(&held);
                    }
                    sent.extend_from_slice(bytes);
                    prop_assert!(sent.len() <= promised);
                }
                prop_assert!(input.is_empty() && cutter.held() <= 3);
                prop_assert_eq!(before, sent.len() + cutter.held());
            }
            prop_assert_eq!(metered as usize, packets.len());
            prop_assert_eq!(begun, starts);
            prop_assert_eq!(sent, whole);
        }

        /// Any bytes are packets or an error, the same for the meter and the cutter.
        #[test]
        fn garbage(
            transport in prop::sample::select(vec![Abridged, Intermediate, Padded]),
            mut bytes in vec(prop_oneof![Just(0), Just(0x7f), any::<u8>()], 0..600),
            cut in 1..50usize,
        ) {
            let (mut cutter, mut meter) = (PacketCutter::new(transport), PacketMeter::new(transport));
            for mut input in bytes.chunks_mut(cut) {
                let metered = meter.pass(input);
                let mut begun = 0;
                let outcome = loop {
                    match cutter.next(&mut input) {
                        Ok(Some(piece)) => begun += u64::from(piece.start.is_some()),
                        Ok(None) => break Ok(begun),
                        Err(error) => break Err(error),
                    }
                };
                prop_assert_eq!(&outcome, &metered);
                if outcome.is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_split_header_is_held_back() {
        let mut cutter = PacketCutter::new(Intermediate);
        for byte in [8, 0, 0] {
            assert_eq!(cutter.next(&mut [byte].as_mut_slice()), Ok(None));
        }
        assert_eq!(cutter.held(), 3);
        let mut rest = [0x80, 1, 2];
        let piece = cutter.next(&mut rest.as_mut_slice()).unwrap().unwrap();
        let start = piece.start.unwrap();
        assert_eq!((start.length, start.held.as_slice()), (12, &[8, 0, 0][..]));
        assert_eq!(piece.bytes, [0x80, 1, 2]);
        assert_eq!(cutter.held(), 0);
    }

    #[test]
    fn the_longest_packet_and_one_more() {
        let mut cutter = PacketCutter::new(Abridged);
        let mut longest = [0xff, 0, 0, 4];
        let piece = cutter.next(&mut longest.as_mut_slice()).unwrap().unwrap();
        assert_eq!(piece.start.unwrap().length, 4 + (1 << 20));
        let mut longer = [0x7f, 1, 0, 4];
        let refused = PacketCutter::new(Abridged)
            .next(&mut longer.as_mut_slice())
            .map(|_| ());
        assert_eq!(refused, Err(TransportError::TooLong((1 << 20) + 4)));
    }
}
