use super::{BINARY, CLOSE, FIN, LENGTH_16, LENGTH_64, MASKED, MAX_SHORT, PONG};

const MASK_LEN: usize = 4;

/// Masking with zeros changes nothing, so a payload costs nothing and can be sent in
/// parts. It is there to keep a script from choosing the bytes that a proxy in between
/// sees (RFC 6455 §10.3): here these are encrypted twice, and nobody between the ends of
/// TLS sees the key.
const MASK: [u8; MASK_LEN] = [0; MASK_LEN];

/// At most 14 bytes.
pub type MessageHeader = heapless::Vec<u8, { 10 + MASK_LEN }, u8>;

/// At most 131 bytes.
pub type ControlFrame = heapless::Vec<u8, { 2 + MASK_LEN + MAX_SHORT }, u8>;

/// What stands before a message of `length` bytes that is sent in one frame.
pub fn message_header(length: usize) -> MessageHeader {
    header(BINARY, length)
}

/// The answer to a ping that carried `body`, at most 125 bytes.
pub fn pong(body: &[u8]) -> ControlFrame {
    control(PONG, body)
}

/// Says that nothing follows, and why.
pub fn close(code: u16) -> ControlFrame {
    control(CLOSE, &code.to_be_bytes())
}

fn control(opcode: u8, body: &[u8]) -> ControlFrame {
    let body = body.get(..MAX_SHORT).unwrap_or(body);
    let header = header(opcode, body.len());
    header.iter().chain(body).copied().collect()
}

fn header(opcode: u8, length: usize) -> MessageHeader {
    let (short, extended) = match length {
        0..=MAX_SHORT => (length as u8, 0),
        126..=0xffff => (LENGTH_16, 2),
        _ => (LENGTH_64, 8),
    };
    let length = (length as u64).to_be_bytes();
    let extended = length.iter().skip(length.len() - extended);
    [FIN | opcode, MASKED | short]
        .iter()
        .chain(extended)
        .chain(&MASK)
        .copied()
        .collect()
}
