use super::{BINARY, CLOSE, ControlBody, FIN, LENGTH_16, LENGTH_64, MAX_SHORT, PING, PONG};

/// At most 10 bytes.
pub type ServerHeader = heapless::Vec<u8, 10, u8>;

/// At most 127 bytes.
pub type ServerControl = heapless::Vec<u8, { 2 + MAX_SHORT }, u8>;

/// What stands before a message of `length` bytes that a server sends in one frame.
pub fn server_header(length: usize) -> ServerHeader {
    let long = (length as u64).to_be_bytes();
    let (short, skipped) = match length {
        0..=MAX_SHORT => (length as u8, 8),
        126..=0xffff => (LENGTH_16, 6),
        _ => (LENGTH_64, 0),
    };
    let head = [FIN | BINARY, short];
    head.iter()
        .chain(long.iter().skip(skipped))
        .copied()
        .collect()
}

/// Asks for a sign of life. What is over 125 bytes of `body` is left out.
pub fn server_ping(body: &[u8]) -> ServerControl {
    control(PING, body)
}

/// The answer to a ping that carried `body`.
pub fn server_pong(body: &ControlBody) -> ServerControl {
    control(PONG, body)
}

/// Says that nothing follows, and why (RFC 6455 §7.4.1).
pub fn server_close(code: u16) -> ServerControl {
    control(CLOSE, &code.to_be_bytes())
}

fn control(opcode: u8, body: &[u8]) -> ServerControl {
    let body = body.get(..MAX_SHORT).unwrap_or(body);
    let head = [FIN | opcode, body.len() as u8];
    head.iter().chain(body).copied().collect()
}
