//! What frames of both sides begin with: two bytes and the longer forms of the length.

use super::{
    BINARY, CLOSE, CONTINUATION, FIN, FrameError, LENGTH_16, LENGTH_64, MASKED, MAX_SHORT, PING,
    PONG, TEXT,
};

const OPCODE: u8 = 0x0f;
const RESERVED: u8 = 0x70;

pub(super) fn opcode(first: u8) -> u8 {
    first & OPCODE
}

pub(super) fn is_control(opcode: u8) -> bool {
    matches!(opcode, CLOSE | PING | PONG)
}

/// Refuses what a frame's first byte shows.
pub(super) fn check_first(first: u8, is_in_message: bool) -> Result<(), FrameError> {
    let (opcode, is_last) = (opcode(first), first & FIN != 0);
    match opcode {
        _ if first & RESERVED != 0 => Err(FrameError::Reserved),
        CONTINUATION if !is_in_message => Err(FrameError::NoStart),
        TEXT | BINARY if is_in_message => Err(FrameError::Interleaved),
        CLOSE | PING | PONG if !is_last => Err(FrameError::FragmentedControl),
        CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
        _ => Err(FrameError::Opcode(opcode)),
    }
}

/// Refuses what the second one shows behind it, the mask's bit aside.
pub(super) fn check_second(first: u8, second: u8) -> Result<(), FrameError> {
    match is_control(opcode(first)) && usize::from(second & !MASKED) > MAX_SHORT {
        true => Err(FrameError::LongControl),
        false => Ok(()),
    }
}

/// How many bytes these two and the length behind them are together; the two bytes that
/// say it come first.
pub(super) fn length_end(known: &[u8]) -> usize {
    match known.get(1).map(|second| second & !MASKED) {
        Some(LENGTH_16) => 4,
        Some(LENGTH_64) => 10,
        _ => 2,
    }
}

/// The length of the payload, from the bytes up to [`length_end`].
pub(super) fn length(header: &[u8]) -> Result<u64, FrameError> {
    let (length, least) = match *header {
        [_, _, a, b] => (u64::from(u16::from_be_bytes([a, b])), MAX_SHORT as u64 + 1),
        [_, _, ref long @ ..] if long.len() == 8 => {
            let long = long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            (long, 1 << 16)
        }
        [_, short] => (u64::from(short & !MASKED), 0),
        _ => (0, 0),
    };
    if length < least {
        return Err(FrameError::LengthForm);
    }
    Ok(length)
}
