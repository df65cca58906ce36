//! Where the head of a request ends in what has come so far.

use std::fmt;

/// The most bytes of a head, of a request or a response.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most header lines of a head.
pub const MAX_FIELDS: usize = 128;

/// It may be a request to somebody, but what it is depends on who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unparsable;

impl fmt::Display for Unparsable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a request of HTTP/1.1, or one that can be read in two ways")
    }
}

impl std::error::Error for Unparsable {}

/// Goes through a head as it comes, each byte once, and says at once when it is none, as
/// servers do.
#[derive(Clone, Debug, Default)]
pub struct HeadScan {
    /// Bytes that have been looked at.
    seen: usize,
    /// Of the present line.
    line_len: usize,
    lines: usize,
    /// The last byte was a CR.
    has_return: bool,
    /// The present line's method, or its name, has ended.
    has_word: bool,
}

impl HeadScan {
    /// The length of the head that `received` begins with, once it is there. `received`
    /// grows from call to call.
    pub fn advance(&mut self, received: &[u8]) -> Result<Option<usize>, Unparsable> {
        for byte in received.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            if self.seen > MAX_HEAD {
                return Err(Unparsable);
            }
            let lines = self.lines;
            if self.take(*byte)? {
                return Ok(Some(self.seen));
            }
            let is_first_line = lines == 0 && self.lines == 1;
            let line = received.get(..self.seen).unwrap_or_default();
            if is_first_line && !(VERSIONS.iter().any(|version| line.ends_with(version))) {
                return Err(Unparsable);
            }
        }
        Ok(None)
    }

    /// Something of a head is there.
    pub fn has_begun(&self) -> bool {
        self.seen > 0
    }

    /// Whether `byte` is the last one of the head.
    fn take(&mut self, byte: u8) -> Result<bool, Unparsable> {
        if self.has_return {
            return match byte {
                b'\n' => self.end_line(),
                _ => Err(Unparsable),
            };
        }
        let is_first_line = self.lines == 0;
        match byte {
            b'\r' => {
                self.has_return = true;
                return Ok(false);
            }
            b' ' if is_first_line && self.line_len > 0 => self.has_word = true,
            b':' if !is_first_line && self.line_len > 0 => self.has_word = true,
            _ if self.has_word => {
                if byte < b' ' && byte != b'\t' || byte == 0x7f {
                    return Err(Unparsable);
                }
            }
            // As servers know them.
            b'A'..=b'Z' | b'-' | b'_' => {}
            _ if !is_first_line && is_of_token(byte) => {}
            _ => return Err(Unparsable),
        }
        self.line_len += 1;
        Ok(false)
    }

    fn end_line(&mut self) -> Result<bool, Unparsable> {
        let is_empty = self.line_len == 0;
        // Empty lines in front of a request are no part of it.
        if is_empty && self.lines > 0 {
            return Ok(true);
        }
        if !self.has_word || self.lines > MAX_FIELDS {
            return Err(Unparsable);
        }
        self.lines += 1;
        self.line_len = 0;
        (self.has_return, self.has_word) = (false, false);
        Ok(false)
    }
}

const VERSIONS: [&[u8]; 2] = [b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"];

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
