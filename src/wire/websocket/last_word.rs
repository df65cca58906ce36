use std::fmt;

use super::{ControlBody, FrameError};

/// The other side's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 when all went well, even if Telegram then names an error in the text.
    pub code: Option<u16>,
    text: ControlBody,
}

impl Close {
    pub(super) fn parse(body: &[u8]) -> Result<Self, FrameError> {
        let (code, text) = match body.split_first_chunk() {
            Some((code, text)) => (Some(u16::from_be_bytes(*code)), text),
            None if body.is_empty() => (None, body),
            None => return Err(FrameError::CloseBody),
        };
        let text = text.iter().copied().collect();
        Ok(Self { code, text })
    }
}

/// The code and what is said to it, for a log: 123 bytes at most, escaped.
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
