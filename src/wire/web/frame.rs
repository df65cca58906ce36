use super::{FrameFault, MAX_FRAMES, StreamId};
use crate::bytes::{Gather, take_up_to};

/// Type, stream and length, in bytes.
pub const HEADER_LEN: usize = 8;
/// The longest payload of a DATA frame, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// The longest message or body, in bytes: whoever reads it holds it to that.
pub const MAX_BATCH: usize = 2 << 20;

/// The first frame to an app.
pub const WELCOME: [u8; HEADER_LEN] = [0x11, 0, 0, 0, 0, 0, 0, 0];
/// The first frame of an app, which names version 1.
pub const HELLO: [u8; HEADER_LEN + 1] = [0x10, 0, 0, 0, 0, 0, 0, 1, 1];

pub(super) const OPEN: u8 = 1;
pub(super) const DATA: u8 = 2;
pub(super) const CLOSE: u8 = 3;
pub(super) const WINDOW: u8 = 4;
pub(super) const PING: u8 = 5;
pub(super) const PONG: u8 = 6;
const HELLO_KIND: u8 = 0x10;
pub(super) const WELCOME_KIND: u8 = 0x11;
pub(super) const BYE: u8 = 0x1f;

/// The longest body but that of DATA: a PONG's.
const MAX_SHORT: usize = 64;

/// What an app sends, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Only of a reader that expects it, and first.
    Hello,
    Open(StreamId),
    /// A DATA frame of `length` bytes, `1..=MAX_PAYLOAD`; they follow in any number of
    /// pieces.
    DataBegins {
        stream: StreamId,
        length: u32,
    },
    /// Never empty.
    Data {
        stream: StreamId,
        bytes: &'a mut [u8],
    },
    Close(StreamId),
    /// The app takes `credit` more bytes, at least one.
    Window {
        stream: StreamId,
        credit: u32,
    },
    Pong,
}

/// Reads an app's frames however their bytes are cut, DATA in place.
pub struct FrameReader {
    header: Gather<HEADER_LEN>,
    body: Gather<MAX_SHORT>,
    state: State,
    /// A HELLO has to come first.
    expects_hello: bool,
    /// Frames that have begun in this batch.
    frames: u16,
}

#[derive(Clone, Copy)]
enum State {
    Header,
    Short(Short),
    Data { stream: StreamId, left: u32 },
}

/// A frame with a body that comes whole.
#[derive(Clone, Copy)]
enum Short {
    Hello,
    Window(StreamId),
    Pong { length: u8 },
}

impl Default for FrameReader {
    /// For what follows a HELLO, which was read elsewhere.
    fn default() -> Self {
        Self {
            header: Gather::default(),
            body: Gather::default(),
            state: State::Header,
            expects_hello: false,
            frames: 0,
        }
    }
}

impl FrameReader {
    /// For frames of which the first is a HELLO.
    pub fn expecting_hello() -> Self {
        Self {
            expects_hello: true,
            ..Self::default()
        }
    }

    /// The next piece in `input`, which is moved past it; `None` when all of it is used
    /// up. After an error nothing more is to be asked: it is fatal for the session.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Piece<'a>>, FrameFault> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = self.header.fill(input) else {
                        return Ok(None);
                    };
                    if let Some(piece) = self.begin(header)? {
                        return Ok(Some(piece));
                    }
                }
                State::Short(short) => {
                    let length = short.length();
                    let part = take_up_to(input, self.body.missing(length));
                    self.body.push(part);
                    if self.body.missing(length) > 0 {
                        return Ok(None);
                    }
                    let piece = short.parse(self.body.bytes())?;
                    self.body.clear();
                    self.state = State::Header;
                    return Ok(Some(piece));
                }
                State::Data { left: 0, .. } => self.state = State::Header,
                State::Data { stream, left } => {
                    let bytes = take_up_to(input, left as usize);
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let left = left - bytes.len() as u32;
                    self.state = State::Data { stream, left };
                    return Ok(Some(Piece::Data { stream, bytes }));
                }
            }
        }
    }

    /// A message or a body is at its end: it was of whole frames, 1 to [`MAX_FRAMES`].
    pub fn end_batch(&mut self) -> Result<(), FrameFault> {
        let is_between = match self.state {
            State::Header => self.header.bytes().is_empty(),
            State::Short(_) => false,
            State::Data { left, .. } => left == 0,
        };
        if !is_between {
            return Err(FrameFault::CutFrame);
        }
        match std::mem::take(&mut self.frames) {
            0 => Err(FrameFault::EmptyBatch),
            _ => Ok(()),
        }
    }

    /// What a header says; what has a body waits for it.
    fn begin(&mut self, header: [u8; HEADER_LEN]) -> Result<Option<Piece<'static>>, FrameFault> {
        let [kind, a, b, c, length @ ..] = header;
        let stream = StreamId::new(u32::from_be_bytes([0, a, b, c]));
        let length = u32::from_be_bytes(length);
        self.count()?;
        if self.expects_hello != (kind == HELLO_KIND) {
            return Err(match self.expects_hello {
                true => FrameFault::NoHello,
                false => FrameFault::HelloAgain,
            });
        }
        self.expects_hello = false;
        match (kind, stream) {
            (OPEN | DATA | CLOSE | WINDOW, None) => return Err(FrameFault::NoStream(kind)),
            (PONG | HELLO_KIND, Some(_)) => return Err(FrameFault::OfStream(kind)),
            _ => {}
        }
        let wrong = Err(FrameFault::Length { kind, length });
        let state = match (kind, stream, length) {
            (OPEN, Some(stream), 0) => return Ok(Some(Piece::Open(stream))),
            (CLOSE, Some(stream), 0) => return Ok(Some(Piece::Close(stream))),
            (DATA, Some(_), 0) => return Err(FrameFault::EmptyData),
            (DATA, Some(stream), _) if length as usize <= MAX_PAYLOAD => {
                self.state = State::Data {
                    stream,
                    left: length,
                };
                return Ok(Some(Piece::DataBegins { stream, length }));
            }
            (WINDOW, Some(stream), 4) => Short::Window(stream),
            (PONG, None, _) if length as usize <= MAX_SHORT => Short::Pong {
                length: length as u8,
            },
            (HELLO_KIND, None, 1) => Short::Hello,
            (OPEN | DATA | CLOSE | WINDOW | PONG | HELLO_KIND, ..) => return wrong,
            (PING | WELCOME_KIND | BYE, ..) => return Err(FrameFault::NotOfApp(kind)),
            _ => return Err(FrameFault::Type(kind)),
        };
        self.state = State::Short(state);
        Ok(None)
    }

    fn count(&mut self) -> Result<(), FrameFault> {
        self.frames = self.frames.saturating_add(1);
        match usize::from(self.frames) <= MAX_FRAMES {
            true => Ok(()),
            false => Err(FrameFault::TooManyFrames),
        }
    }
}

impl Short {
    fn length(self) -> usize {
        match self {
            Self::Hello => 1,
            Self::Window(_) => 4,
            Self::Pong { length } => length.into(),
        }
    }

    fn parse(self, body: &[u8]) -> Result<Piece<'static>, FrameFault> {
        match self {
            Self::Hello => match body {
                [1] => Ok(Piece::Hello),
                _ => Err(FrameFault::Version),
            },
            Self::Window(stream) => {
                let credit = body.first_chunk().copied().unwrap_or_default();
                match u32::from_be_bytes(credit) {
                    0 => Err(FrameFault::ZeroWindow),
                    credit => Ok(Piece::Window { stream, credit }),
                }
            }
            Self::Pong { .. } => Ok(Piece::Pong),
        }
    }
}

/// Whether a body is one HELLO and nothing else.
pub fn is_hello(body: &[u8]) -> bool {
    body == HELLO
}

/// What stands before a payload of `length` bytes, `1..=MAX_PAYLOAD`.
pub fn data_header(stream: StreamId, length: usize) -> [u8; HEADER_LEN] {
    header(DATA, stream.get(), length as u32)
}

/// Nothing may follow for this stream.
pub fn close(stream: StreamId) -> [u8; HEADER_LEN] {
    header(CLOSE, stream.get(), 0)
}

/// The app may send `credit` bytes more, at least one.
pub fn window(stream: StreamId, credit: u32) -> [u8; HEADER_LEN + 4] {
    let [a, b, c, d, e, f, g, h] = header(WINDOW, stream.get(), 4);
    let [i, j, k, l] = credit.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// `stream` is an id, or 0.
pub(super) fn header(kind: u8, stream: u32, length: u32) -> [u8; HEADER_LEN] {
    let [_, a, b, c] = stream.to_be_bytes();
    let [d, e, f, g] = length.to_be_bytes();
    [kind, a, b, c, d, e, f, g]
}
