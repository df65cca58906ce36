//! Payloads out of what the other side sends.

use std::io;

use crate::net::Socket;
use crate::tls;
use crate::wire::websocket::{Close, ControlFrame, FrameError, FrameReader, Piece, close, pong};

/// What the other side is told when the client has left.
pub(super) const GOING: u16 = 1000;

/// How far a WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Open,
    /// The other side has said goodbye.
    Ended,
    Broken(io::ErrorKind),
}

/// What keeps a read from going on.
pub(super) enum Fault {
    Tls(tls::Error),
    Frame(FrameError),
}

impl From<tls::Error> for Fault {
    fn from(error: tls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Joins the payloads of the frames in `data`, where the first of them stands.
pub(super) fn unframe<'a>(
    frames: &mut FrameReader,
    data: &'a mut [u8],
    answer: &mut Option<Box<ControlFrame>>,
    course: &mut Course,
    socket: &Socket,
) -> Result<&'a mut [u8], FrameError> {
    let (mut start, mut end, mut next) = (0, 0, 0);
    loop {
        let mut input = data.get_mut(next..).unwrap_or_default();
        let length = match frames.next(&mut input)? {
            None => break,
            Some(Piece::Payload(payload)) => payload.len(),
            Some(Piece::Ping(body)) => {
                *answer = Some(Box::new(pong(&body)));
                0
            }
            Some(Piece::Close(goodbye)) => {
                end_by(&goodbye, answer, course, socket);
                0
            }
        };
        let left = input.len();
        next = data.len() - left;
        let from = next - length;
        if start == end {
            (start, end) = (from, from);
        }
        if from > end && length > 0 {
            data.copy_within(from..next, end);
        }
        end += length;
    }
    Ok(data.get_mut(start..end).unwrap_or_default())
}

/// The other side ends it; it gets its own code back.
fn end_by(
    goodbye: &Close,
    answer: &mut Option<Box<ControlFrame>>,
    course: &mut Course,
    socket: &Socket,
) {
    debug!("{}: the WebSocket is closed with {goodbye}", peer(socket));
    *course = Course::Ended;
    *answer = Some(Box::new(close(goodbye.code.unwrap_or(GOING))));
}

/// For the log.
pub(super) fn peer(socket: &Socket) -> String {
    let address = socket.peer_address();
    address.map_or_else(|error| error.to_string(), |address| address.to_string())
}
