use super::frame::{DATA, Frame};
use super::{HEADER_LEN, LinkError, MAX_BODY, MAX_CONTROL};
use crate::bytes::{Gather, take_up_to};

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Frame(Frame),
    /// The next bytes of a stream, at least one.
    Data {
        stream: u32,
        bytes: &'a mut [u8],
    },
}

/// Reads frames however their bytes are cut.
#[derive(Default)]
pub struct Decoder {
    header: Gather<HEADER_LEN>,
    body: Gather<MAX_CONTROL>,
    state: State,
    /// A hello has been read: only then does it have to be a link.
    is_link: bool,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Header,
    Control {
        kind: u8,
        stream: u32,
        len: usize,
    },
    Data {
        stream: u32,
        left: usize,
    },
}

impl Decoder {
    /// The next event in `input`, which is moved past it; `None` when all of
    /// it is used up. After an error nothing more is to be asked.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, LinkError> {
        loop {
            match self.state {
                State::Header => match self.header.fill(input) {
                    Some(header) => self.state = self.begin(header)?,
                    None => return Ok(None),
                },
                State::Control { kind, stream, len } => {
                    let part = take_up_to(input, self.body.missing(len));
                    self.body.push(part);
                    if self.body.missing(len) > 0 {
                        return Ok(None);
                    }
                    let frame = Frame::parse(kind, stream, self.body.bytes())?;
                    self.body.clear();
                    self.state = State::Header;
                    self.is_link = true;
                    return Ok(Some(Event::Frame(frame)));
                }
                State::Data { left: 0, .. } => self.state = State::Header,
                State::Data { stream, left } => {
                    let run = join_frames(stream, left, input);
                    let bytes = take_up_to(input, run.len);
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    take_up_to(input, run.gap);
                    let left = run.left;
                    self.state = State::Data { stream, left };
                    return Ok(Some(Event::Data { stream, bytes }));
                }
            }
        }
    }

    fn begin(&self, header: [u8; HEADER_LEN]) -> Result<State, LinkError> {
        let [a, b, c, d, kind, e, f, g, h] = header;
        let length = u32::from_be_bytes([a, b, c, d]);
        let stream = u32::from_be_bytes([e, f, g, h]);
        if !self.is_link && kind != 1 {
            return Err(LinkError::NotALink);
        }
        let limit = if kind == DATA { MAX_BODY } else { MAX_CONTROL };
        let len = (length as usize).checked_sub(HEADER_LEN - 4);
        match len.filter(|len| *len <= limit) {
            Some(left) if kind == DATA => Ok(State::Data { stream, left }),
            Some(len) => Ok(State::Control { kind, stream, len }),
            None if self.is_link => Err(LinkError::Length(length)),
            None => Err(LinkError::NotALink),
        }
    }
}

/// Bytes of one stream that stand together.
struct Run {
    len: usize,
    /// Of no use any more, behind them.
    gap: usize,
    /// What is missing of the last frame.
    left: usize,
}

/// Joins what `input` has of a data frame and of the frames behind it that are of the
/// same stream, by moving their bytes together. That costs far less than to write to a
/// client once for each frame.
fn join_frames(stream: u32, left: usize, input: &mut [u8]) -> Run {
    let len = left.min(input.len());
    let (mut len, mut gap, mut left) = (len, 0, left - len);
    while left == 0
        && let start = len + gap
        && let Some(header) = input.get(start..).and_then(<[u8]>::first_chunk)
        && let Some(body) = data_frame_of(stream, header)
    {
        gap += HEADER_LEN;
        let start = len + gap;
        let end = start + body.min(input.len() - start);
        input.copy_within(start..end, len);
        len += end - start;
        left = body - (end - start);
    }
    Run { len, gap, left }
}

/// The length of the body if that is the header of a data frame of `stream`; one
/// that is wrong is the decoder's to find.
fn data_frame_of(stream: u32, header: &[u8; HEADER_LEN]) -> Option<usize> {
    let [length @ .., kind, _, _, _, _] = header;
    let (len, of) = (u32::from_be_bytes(*length), header.last_chunk()?);
    let body = (len as usize).checked_sub(HEADER_LEN - 4)?;
    let is_next = *kind == DATA && u32::from_be_bytes(*of) == stream && body <= MAX_BODY;
    is_next.then_some(body)
}
