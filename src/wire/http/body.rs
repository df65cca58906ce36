//! Where a body ends (RFC 9112 §6, §7.1), and its bytes without framing.

use std::fmt;

use super::error::HttpError;
use super::fields::Fields;
use super::head_scan::Unparsable;

/// The most bytes of one size line of a chunk, extensions included.
const MAX_SIZE_LINE: usize = 4096;

/// The most bytes of all trailers of a body.
const MAX_TRAILERS: usize = 16 * 1024;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 where there is none.
    Length(u64),
    Chunked,
    /// It ends with the connection; only of responses.
    UntilClose,
}

impl Framing {
    pub(super) fn of_request(fields: Fields<'_>, is_http_11: bool) -> Result<Self, Unparsable> {
        let mut codings = fields.clone().named("transfer-encoding");
        let mut lengths = fields.named("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Self::Length(0)),
            (Some(coding), None) if is_http_11 && codings.next().is_none() => {
                match coding.eq_ignore_ascii_case(b"chunked") {
                    true => Ok(Self::Chunked),
                    false => Err(Unparsable),
                }
            }
            (None, Some(length)) if lengths.next().is_none() => {
                decimal(length).map(Self::Length).ok_or(Unparsable)
            }
            _ => Err(Unparsable),
        }
    }

    pub(super) fn of_response(
        fields: Fields<'_>,
        status: u16,
        to_head: bool,
    ) -> Result<Self, HttpError> {
        if to_head || matches!(status, 100..200 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        let mut codings = fields.clone().named("transfer-encoding").peekable();
        let mut lengths = fields.named("content-length");
        if codings.peek().is_some() {
            // As RFC 9112 §6.3 has it of other codings: all that comes is the body.
            let coding = codings.next().filter(|_| codings.next().is_none());
            let is_chunked = coding.is_some_and(|one| one.eq_ignore_ascii_case(b"chunked"));
            return match (is_chunked, lengths.next()) {
                (_, Some(_)) => Err(HttpError::Malformed),
                (true, None) => Ok(Self::Chunked),
                (false, None) => Ok(Self::UntilClose),
            };
        }
        let Some(first) = lengths.next() else {
            return Ok(Self::UntilClose);
        };
        let length = decimal(first).filter(|_| lengths.all(|other| other == first));
        length.map(Self::Length).ok_or(HttpError::Malformed)
    }
}

/// Digits alone, below 2^63.
fn decimal(digits: &[u8]) -> Option<u64> {
    let is_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(digits).ok().filter(|_| is_digits)?;
    text.parse()
        .ok()
        .filter(|length| *length <= i64::MAX as u64)
}

/// What is no chunk, or more framing than anybody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyError;

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is not in chunks as its head says")
    }
}

impl std::error::Error for BodyError {}

/// Follows one body, however it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyReader {
    state: State,
    /// Bytes of framing since the last byte of data.
    framing_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of a body with a length.
    Length(u64),
    UntilClose,
    /// Digits of a chunk's size; how many there were.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind a semicolon.
    Extension {
        size: u64,
    },
    /// The LF of a size line.
    SizeEnd {
        size: u64,
    },
    /// So many bytes of a chunk.
    Chunk(u64),
    /// CR, then LF behind a chunk.
    ChunkEnd {
        has_return: bool,
    },
    /// The beginning of a line behind the last chunk.
    Trailer,
    /// Within such a line.
    TrailerText,
    /// The LF of one.
    TrailerEnd,
    /// The LF of the empty line.
    LastEnd,
    Done,
}

/// Hexadecimal digits of a size; more would not fit.
const MAX_DIGITS: u8 = 15;

impl BodyReader {
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::UntilClose => State::UntilClose,
            Framing::Chunked => State::Size { size: 0, digits: 0 },
        };
        Self {
            state,
            framing_len: 0,
        }
    }

    /// All of it was there.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection ended: whether that is the body's end.
    pub fn may_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Takes what belongs to the body from the front of `input`, up to its next data, and
    /// gives those. `None`: it is done, or `input` is used up.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>, BodyError> {
        loop {
            let (framing, data) = self.step(input)?;
            input.split_off_mut(..framing).ok_or(BodyError)?;
            if data > 0 {
                return Ok(input.split_off_mut(..data));
            }
            if framing == 0 {
                return Ok(None);
            }
        }
    }

    /// How many bytes at the front of `input` belong to the body, framing included; the
    /// next call goes on behind them. With an error: how many were fine.
    pub fn measure(&mut self, input: &[u8]) -> Result<usize, (usize, BodyError)> {
        let mut measured = 0;
        loop {
            let rest = input.get(measured..).unwrap_or_default();
            let (framing, data) = self.step(rest).map_err(|error| (measured, error))?;
            measured += framing + data;
            if framing + data == 0 {
                return Ok(measured);
            }
        }
    }

    /// Bytes of framing, then of data, at the front of `input`.
    fn step(&mut self, input: &[u8]) -> Result<(usize, usize), BodyError> {
        let mut framing = 0;
        for byte in input {
            let there = input.len() - framing;
            match &mut self.state {
                State::Done => break,
                State::UntilClose => return Ok((framing, there)),
                State::Length(left) => {
                    let data = there.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok((framing, data));
                }
                State::Chunk(left) => {
                    let data = there.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data as u64;
                    if *left == 0 {
                        self.state = State::ChunkEnd { has_return: false };
                    }
                    self.framing_len = 0;
                    return Ok((framing, data));
                }
                _ => {}
            }
            self.take(*byte)?;
            framing += 1;
        }
        Ok((framing, 0))
    }

    /// A byte of framing.
    fn take(&mut self, byte: u8) -> Result<(), BodyError> {
        self.framing_len += 1;
        let (next, most) = match (self.state, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = size << 4 | u64::from(digit);
                let digits = digits + 1;
                if digits > MAX_DIGITS {
                    return Err(BodyError);
                }
                (State::Size { size, digits }, MAX_SIZE_LINE)
            }
            (State::Size { digits: 0, .. }, _) => return Err(BodyError),
            (State::Size { size, .. }, b';') => (State::Extension { size }, MAX_SIZE_LINE),
            (State::Size { size, .. } | State::Extension { size }, b'\r') => {
                (State::SizeEnd { size }, MAX_SIZE_LINE)
            }
            (State::Extension { size }, byte) if is_text(byte) => {
                (State::Extension { size }, MAX_SIZE_LINE)
            }
            (State::SizeEnd { size: 0 }, b'\n') => {
                self.framing_len = 0;
                (State::Trailer, MAX_TRAILERS)
            }
            (State::SizeEnd { size }, b'\n') => (State::Chunk(size), MAX_SIZE_LINE),
            (State::ChunkEnd { has_return: false }, b'\r') => {
                (State::ChunkEnd { has_return: true }, MAX_SIZE_LINE)
            }
            (State::ChunkEnd { has_return: true }, b'\n') => {
                (State::Size { size: 0, digits: 0 }, MAX_SIZE_LINE)
            }
            (State::Trailer, b'\r') => (State::LastEnd, MAX_TRAILERS),
            (State::TrailerText, b'\r') => (State::TrailerEnd, MAX_TRAILERS),
            // A line that begins with a space would continue another one.
            (State::Trailer, b' ' | b'\t') => return Err(BodyError),
            (State::Trailer | State::TrailerText, byte) if is_text(byte) => {
                (State::TrailerText, MAX_TRAILERS)
            }
            (State::TrailerEnd, b'\n') => (State::Trailer, MAX_TRAILERS),
            (State::LastEnd, b'\n') => (State::Done, MAX_TRAILERS),
            _ => return Err(BodyError),
        };
        if self.framing_len > most {
            return Err(BodyError);
        }
        self.state = next;
        Ok(())
    }
}

/// No control character.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests;
