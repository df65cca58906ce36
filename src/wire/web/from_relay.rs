use std::fmt;

use super::StreamId;
use super::frame::{
    BYE, CLOSE, DATA, HEADER_LEN, MAX_PAYLOAD, OPEN, PING, PONG, WELCOME_KIND, WINDOW, header,
};

/// The longest body of a PING, and of a BYE that is read.
const MAX_SHORT: u32 = 64;

/// What a relay sends, as its app reads it.
#[derive(Debug, PartialEq, Eq)]
pub enum RelayFrame {
    Welcome,
    Data {
        stream: StreamId,
        bytes: Vec<u8>,
    },
    Close(StreamId),
    /// The relay takes so many bytes more.
    Window {
        stream: StreamId,
        credit: u32,
    },
    /// To be answered with [`pong`], with the same body.
    Ping(Vec<u8>),
    /// Nothing follows.
    Bye,
}

/// A relay's frame that an app does not take: its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayFault(pub u8);

/// Reads a relay's frames, for an app of few and short ones: they are kept until they are
/// whole.
#[derive(Default)]
pub struct RelayReader {
    came: Vec<u8>,
}

impl RelayReader {
    /// What has come next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
    }

    /// The next whole frame; `None`: it has not come. After an error nothing makes sense.
    pub fn frame(&mut self) -> Result<Option<RelayFrame>, RelayFault> {
        let Some(head) = self.came.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [kind, a, b, c, length @ ..] = *head;
        let stream = StreamId::new(u32::from_be_bytes([0, a, b, c]));
        let length = u32::from_be_bytes(length);
        let is_right = match (kind, stream) {
            (DATA, Some(_)) => (1..=MAX_PAYLOAD as u32).contains(&length),
            (CLOSE, Some(_)) => length == 0,
            (WINDOW, Some(_)) => length == 4,
            (WELCOME_KIND, None) => length == 0,
            (PING | BYE, None) => length <= MAX_SHORT,
            _ => false,
        };
        if !is_right {
            return Err(RelayFault(kind));
        }
        let end = HEADER_LEN + length as usize;
        let Some(body) = self.came.get(HEADER_LEN..end) else {
            return Ok(None);
        };
        let frame = match (kind, stream) {
            (DATA, Some(stream)) => RelayFrame::Data {
                stream,
                bytes: body.to_vec(),
            },
            (CLOSE, Some(stream)) => RelayFrame::Close(stream),
            (WINDOW, Some(stream)) => RelayFrame::Window {
                stream,
                credit: body.first_chunk().copied().map_or(0, u32::from_be_bytes),
            },
            (PING, _) => RelayFrame::Ping(body.to_vec()),
            (WELCOME_KIND, _) => RelayFrame::Welcome,
            _ => RelayFrame::Bye,
        };
        self.came.drain(..end);
        Ok(Some(frame))
    }
}

/// An app's frame that begins a stream.
pub fn open(stream: StreamId) -> [u8; HEADER_LEN] {
    header(OPEN, stream.get(), 0)
}

/// An app's answer to a PING that carried `body`.
pub fn pong(body: &[u8]) -> Vec<u8> {
    let mut frame = header(PONG, 0, body.len() as u32).to_vec();
    frame.extend_from_slice(body);
    frame
}

impl fmt::Display for RelayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame that no app takes (type {:#04x})", self.0)
    }
}

impl std::error::Error for RelayFault {}
