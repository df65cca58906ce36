use std::fmt;

use super::{
    BINARY, CLOSE, CONTINUATION, FIN, LENGTH_16, LENGTH_64, MASKED, MAX_SHORT, PING, PONG, TEXT,
};
use crate::bytes::{Gather, take_up_to};

/// The longest frame that is taken, in bytes of payload: Telegram's reach about 1 MiB.
pub const MAX_FRAME: usize = 16 << 20;

const OPCODE: u8 = 0x0f;
const RESERVED: u8 = 0x70;
/// Of a frame without a mask.
const MAX_HEADER: usize = 10;

/// What a control frame carries.
pub type ControlBody = heapless::Vec<u8, MAX_SHORT, u8>;

/// Finds payloads in what the server sends, in place, however it is cut. Frames and
/// messages have no meaning of their own: all payloads are one stream.
#[derive(Default)]
pub struct FrameReader {
    header: Gather<MAX_HEADER>,
    /// Bytes of the frame's payload that have not come.
    left: u32,
    /// The opcode of the control frame under way.
    control: Option<u8>,
    /// What of it has come.
    body: ControlBody,
    /// A message has begun, and its last fragment has not come.
    is_in_message: bool,
    /// The server has said that nothing follows.
    has_closed: bool,
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Goes on in the stream of bytes; never empty.
    Payload(&'a mut [u8]),
    /// To be answered with [`pong`](super::pong), with the same body.
    Ping(ControlBody),
    /// To be answered with [`close`](super::close); nothing follows.
    Close(Close),
}

/// The server's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 when all went well, even if Telegram then names an error in the text.
    pub code: Option<u16>,
    text: ControlBody,
}

/// What is wrong with a frame of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Only clients mask.
    Masked,
    /// Bits of an extension that was not asked for.
    Reserved,
    Opcode(u8),
    /// A fragment that continues no message.
    NoStart,
    /// A message begins before the last one's end.
    Interleaved,
    FragmentedControl,
    LongControl,
    /// The length is written longer than need be.
    LengthForm,
    /// More than [`MAX_FRAME`] bytes.
    TooLong(u64),
    /// A close frame with half a code.
    CloseBody,
}

impl FrameReader {
    /// Takes the next piece off the front of `input`; `None`: all of it is used up. After
    /// an error the stream makes no sense any more.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        while !self.has_closed && !input.is_empty() {
            if self.left == 0 && !self.begin(input)? {
                continue;
            }
            let piece = take_up_to(input, self.left as usize);
            self.left -= piece.len() as u32;
            let Some(opcode) = self.control else {
                if piece.is_empty() {
                    continue;
                }
                return Ok(Some(Piece::Payload(piece)));
            };
            // Its length was looked at: there is room.
            let _ = self.body.extend_from_slice(piece);
            if self.left > 0 {
                continue;
            }
            self.control = None;
            let body = std::mem::take(&mut self.body);
            match opcode {
                PING => return Ok(Some(Piece::Ping(body))),
                CLOSE => {
                    self.has_closed = true;
                    return Close::parse(&body).map(|close| Some(Piece::Close(close)));
                }
                _ => {}
            }
        }
        *input = &mut [];
        Ok(None)
    }

    /// Whether the header of a frame is complete: then its payload follows.
    fn begin(&mut self, input: &mut &mut [u8]) -> Result<bool, FrameError> {
        loop {
            let have = self.header.bytes();
            let missing = self.header.missing(header_len(have));
            if missing == 0 {
                break;
            }
            let piece = take_up_to(input, missing);
            if piece.is_empty() {
                return Ok(false);
            }
            self.header.push(piece);
            self.look(self.header.bytes())?;
        }
        let length = length(self.header.bytes())?;
        if length > MAX_FRAME as u64 {
            return Err(FrameError::TooLong(length));
        }
        if let Some(&[first, _]) = self.header.bytes().first_chunk() {
            self.enter(first);
        }
        self.left = length as u32;
        self.header.clear();
        Ok(true)
    }

    /// Refuses what a header's first two bytes tell, as soon as they are there.
    fn look(&self, header: &[u8]) -> Result<(), FrameError> {
        let Some(first) = header.first() else {
            return Ok(());
        };
        let (opcode, is_last) = (first & OPCODE, first & FIN != 0);
        let is_control = matches!(opcode, CLOSE | PING | PONG);
        match opcode {
            _ if first & RESERVED != 0 => return Err(FrameError::Reserved),
            CONTINUATION if !self.is_in_message => return Err(FrameError::NoStart),
            TEXT | BINARY if self.is_in_message => return Err(FrameError::Interleaved),
            CLOSE | PING | PONG if !is_last => return Err(FrameError::FragmentedControl),
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => {}
            _ => return Err(FrameError::Opcode(opcode)),
        }
        match header.get(1) {
            Some(second) if second & MASKED != 0 => Err(FrameError::Masked),
            Some(&second) if is_control && usize::from(second) > MAX_SHORT => {
                Err(FrameError::LongControl)
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, first: u8) {
        let opcode = first & OPCODE;
        if matches!(opcode, CLOSE | PING | PONG) {
            self.control = Some(opcode);
        } else {
            self.is_in_message = first & FIN == 0;
        }
    }
}

/// How long a header is that begins like this; the two bytes that say it come first.
fn header_len(known: &[u8]) -> usize {
    match known.get(1) {
        Some(&LENGTH_16) => 4,
        Some(&LENGTH_64) => MAX_HEADER,
        _ => 2,
    }
}

/// The length of the payload behind a whole header.
fn length(header: &[u8]) -> Result<u64, FrameError> {
    let (length, least) = match *header {
        [_, _, a, b] => (u64::from(u16::from_be_bytes([a, b])), MAX_SHORT as u64 + 1),
        [_, _, ref long @ ..] if long.len() == 8 => {
            let long = long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            (long, 1 << 16)
        }
        [_, short] => (u64::from(short), 0),
        _ => (0, 0),
    };
    if length < least {
        return Err(FrameError::LengthForm);
    }
    Ok(length)
}

impl Close {
    fn parse(body: &[u8]) -> Result<Self, FrameError> {
        let (code, text) = match body.split_first_chunk() {
            Some((code, text)) => (Some(u16::from_be_bytes(*code)), text),
            None if body.is_empty() => (None, body),
            None => return Err(FrameError::CloseBody),
        };
        let text = text.iter().copied().collect();
        Ok(Self { code, text })
    }
}

/// The code and what the server says to it, for a log: 123 bytes at most, escaped.
impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "code {code}")?,
            None => write!(f, "no code")?,
        }
        if self.text.is_empty() {
            return Ok(());
        }
        write!(f, ", \"{}\"", self.text.escape_ascii())
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => write!(f, "a masked WebSocket frame, which only clients send"),
            Self::Reserved => write!(f, "a WebSocket frame of an extension nobody asked for"),
            Self::Opcode(opcode) => write!(f, "a WebSocket frame of unknown type {opcode}"),
            Self::NoStart => write!(f, "a WebSocket fragment that continues no message"),
            Self::Interleaved => write!(f, "a WebSocket message inside another one"),
            Self::FragmentedControl => write!(f, "a WebSocket control frame in fragments"),
            Self::LongControl => write!(f, "a WebSocket control frame over {MAX_SHORT} bytes"),
            Self::LengthForm => write!(f, "a WebSocket frame with its length in the wrong form"),
            Self::TooLong(length) => write!(
                f,
                "a WebSocket frame of {length} bytes, more than the {MAX_FRAME} accepted"
            ),
            Self::CloseBody => write!(f, "a WebSocket close frame with half a code"),
        }
    }
}

impl std::error::Error for FrameError {}
