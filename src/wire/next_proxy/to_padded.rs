use crate::bytes::take_up_to;
use crate::packet_meter::HeaderReader;
use crate::transport::{QUICK_ACK, Transport, TransportError};

/// Random bytes behind a packet. More than 3 would be legal, but then their number could
/// not be told from the packet's length alone.
pub type Padding = heapless::Vec<u8, 3, u8>;

/// Makes padded packets of a client's, however its stream is cut; no payload is kept.
pub struct ToPadded {
    headers: HeaderReader,
    payload_left: usize,
    /// What the client itself added, which is dropped.
    padding_left: usize,
    /// What goes behind the packet under way.
    padding: Padding,
}

/// The next bytes to the proxy, one part after the other; not all of them are empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Repacked<'a> {
    pub header: heapless::Vec<u8, 4, u8>,
    pub payload: &'a mut [u8],
    pub padding: Padding,
}

impl ToPadded {
    /// `from` is the client's transport.
    pub fn new(from: Transport) -> Self {
        Self {
            headers: HeaderReader::new(from),
            payload_left: 0,
            padding_left: 0,
            padding: Padding::new(),
        }
    }

    /// Takes the next piece off the front of `input`; `None`: all of it is taken. Each
    /// packet gets what `draw` gives.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        draw: &mut dyn FnMut() -> Padding,
    ) -> Result<Option<Repacked<'a>>, TransportError> {
        if self.payload_left == 0 {
            let skipped = take_up_to(input, self.padding_left);
            self.padding_left -= skipped.len();
        }
        if input.is_empty() {
            return Ok(None);
        }
        let mut header = heapless::Vec::new();
        if self.payload_left == 0 {
            let mut rest = &**input;
            let Some(read) = self.headers.next(&mut rest)? else {
                *input = &mut [];
                return Ok(None);
            };
            let used = input.len() - rest.len();
            take_up_to(input, used);
            self.payload_left = read.payload_len;
            self.padding_left = read.body_len - read.payload_len;
            self.padding = draw();
            let length = (read.payload_len + self.padding.len()) as u32;
            let flag = if read.quick_ack { QUICK_ACK } else { 0 };
            header = (length | flag).to_le_bytes().into();
        }
        let payload = take_up_to(input, self.payload_left);
        self.payload_left -= payload.len();
        let padding = match self.payload_left {
            0 => std::mem::take(&mut self.padding),
            _ => Padding::new(),
        };
        Ok(Some(Repacked {
            header,
            payload,
            padding,
        }))
    }
}
