use super::{CLOSE, Close, ControlBody, FIN, FrameError, MASKED, PING, head};
use crate::bytes::{Gather, take_up_to};

/// The longest frame that is taken, in bytes of payload: Telegram's reach about 1 MiB.
pub const MAX_FRAME: usize = 16 << 20;

/// Of a frame without a mask.
const MAX_HEADER: usize = 10;

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
            let missing = self.header.missing(head::length_end(have));
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
        let length = head::length(self.header.bytes())?;
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
        let Some(&first) = header.first() else {
            return Ok(());
        };
        head::check_first(first, self.is_in_message)?;
        match header.get(1) {
            Some(second) if second & MASKED != 0 => Err(FrameError::Masked),
            Some(&second) => head::check_second(first, second),
            None => Ok(()),
        }
    }

    fn enter(&mut self, first: u8) {
        let opcode = head::opcode(first);
        if head::is_control(opcode) {
            self.control = Some(opcode);
        } else {
            self.is_in_message = first & FIN == 0;
        }
    }
}
