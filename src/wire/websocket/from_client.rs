use super::{CLOSE, Close, ControlBody, FIN, FrameError, MASKED, PING, TEXT, head};
use crate::bytes::{Gather, take_up_to};

const MASK_LEN: usize = 4;
const MAX_HEADER: usize = 10 + MASK_LEN;

/// Finds messages in what a client sends, however it is cut, and takes its masks off in
/// place. Nothing is kept but a header and the body of a control frame.
pub struct ClientFrameReader {
    /// The longest message that is taken, in bytes over all its fragments.
    max_message: u32,
    header: Gather<MAX_HEADER>,
    /// The frame under way.
    frame: Option<Frame>,
    /// Bytes of its payload that have not come.
    left: u32,
    /// For the payload's next byte and those behind it.
    mask: [u8; MASK_LEN],
    /// What has come of a control frame.
    body: ControlBody,
    /// Bytes of the message under way, with those of the fragment under way.
    message: Option<u32>,
    /// The client has said that nothing follows.
    has_closed: bool,
}

#[derive(Clone, Copy)]
enum Frame {
    Payload { is_last: bool },
    Control { opcode: u8 },
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientPiece<'a> {
    /// Goes on in the message under way; never empty.
    Payload(&'a mut [u8]),
    /// The message under way is whole; it may be an empty one.
    MessageEnd,
    /// To be answered with [`server_pong`](super::server_pong), with the same body.
    Ping(ControlBody),
    /// A sign of life.
    Pong,
    /// To be answered with [`server_close`](super::server_close); nothing follows.
    Close(Close),
}

impl ClientFrameReader {
    /// Takes messages of up to `max_message` bytes.
    pub fn new(max_message: u32) -> Self {
        Self {
            max_message,
            header: Gather::default(),
            frame: None,
            left: 0,
            mask: [0; MASK_LEN],
            body: ControlBody::new(),
            message: None,
            has_closed: false,
        }
    }

    /// Takes the next piece off the front of `input`; `None`: all of it is used up. After
    /// an error the stream makes no sense any more.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientPiece<'a>>, FrameError> {
        while !self.has_closed {
            let Some(frame) = self.frame else {
                match self.begin(input)? {
                    true => continue,
                    false => break,
                }
            };
            let piece = take_up_to(input, self.left as usize);
            self.unmask(piece);
            match frame {
                Frame::Payload { .. } if !piece.is_empty() => {
                    return Ok(Some(ClientPiece::Payload(piece)));
                }
                _ if self.left > 0 && piece.is_empty() => return Ok(None),
                Frame::Payload { is_last } => {
                    self.frame = None;
                    if is_last {
                        self.message = None;
                        return Ok(Some(ClientPiece::MessageEnd));
                    }
                }
                Frame::Control { opcode } => {
                    // Its length was looked at: there is room.
                    let _ = self.body.extend_from_slice(piece);
                    if self.left == 0 {
                        self.frame = None;
                        return self.control(opcode).map(Some);
                    }
                }
            }
        }
        *input = &mut [];
        Ok(None)
    }

    /// Whether a message has begun and not come to its end.
    pub fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    fn control(&mut self, opcode: u8) -> Result<ClientPiece<'static>, FrameError> {
        let body = std::mem::take(&mut self.body);
        match opcode {
            PING => Ok(ClientPiece::Ping(body)),
            CLOSE => {
                self.has_closed = true;
                Close::parse(&body).map(ClientPiece::Close)
            }
            _ => Ok(ClientPiece::Pong),
        }
    }

    /// Whether the header of a frame is complete: then its payload follows.
    fn begin(&mut self, input: &mut &mut [u8]) -> Result<bool, FrameError> {
        loop {
            let end = head::length_end(self.header.bytes());
            let missing = self.header.missing(end + MASK_LEN);
            if missing == 0 {
                break;
            }
            // The mask's bytes are counted in before it is known how long the length is.
            let missing = match self.header.bytes().len() {
                known @ 0..2 => 2 - known,
                _ => missing,
            };
            let piece = take_up_to(input, missing);
            if piece.is_empty() {
                return Ok(false);
            }
            self.header.push(piece);
            self.look()?;
        }
        let header = self.header.bytes();
        let (header, mask) = header.split_last_chunk().unwrap_or((&[], &[0; MASK_LEN]));
        self.mask = *mask;
        let length = head::length(header)?;
        let first = header.first().copied().unwrap_or_default();
        self.enter(first, length)?;
        self.header.clear();
        Ok(true)
    }

    /// Refuses what a header's first two bytes show, as soon as they are there.
    fn look(&self) -> Result<(), FrameError> {
        let header = self.header.bytes();
        let Some(&first) = header.first() else {
            return Ok(());
        };
        head::check_first(first, self.is_in_message())?;
        if head::opcode(first) == TEXT {
            return Err(FrameError::Text);
        }
        match header.get(1) {
            Some(second) if second & MASKED == 0 => Err(FrameError::Unmasked),
            Some(&second) => head::check_second(first, second),
            None => Ok(()),
        }
    }

    fn enter(&mut self, first: u8, length: u64) -> Result<(), FrameError> {
        let opcode = head::opcode(first);
        if head::is_control(opcode) {
            self.frame = Some(Frame::Control { opcode });
        } else {
            let before = self.message.unwrap_or_default();
            let all = u64::from(before).saturating_add(length);
            let fits = u32::try_from(all).ok();
            let fits = fits.filter(|all| *all <= self.max_message);
            self.message = Some(fits.ok_or(FrameError::TooLong(all))?);
            let is_last = first & FIN != 0;
            self.frame = Some(Frame::Payload { is_last });
        }
        self.left = length as u32;
        Ok(())
    }

    /// Takes the mask off the payload's next bytes.
    fn unmask(&mut self, piece: &mut [u8]) {
        if piece.is_empty() {
            return;
        }
        self.left -= piece.len() as u32;
        unmask(piece, self.mask);
        self.mask.rotate_left(piece.len() % MASK_LEN);
    }
}

/// Eight bytes at a time; their order in a word is the machine's both times.
fn unmask(bytes: &mut [u8], mask: [u8; MASK_LEN]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
