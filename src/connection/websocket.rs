//! A DC's connection inside a WebSocket inside TLS, as Telegram's web fronts have it.
//!
//! | File | What |
//! |---|---|
//! | `cutter` | where messages begin in what the client sends |
//! | `unframe` | payloads out of what the other side sends |
//! | `rest` | what is left of a record |

mod cutter;
mod rest;
mod unframe;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smol_mtproxy_ciphers::CtrStream;

use super::line::Wrapped;
use crate::net::{BufferPool, READS_PER_TURN, Rope, Socket};
use crate::tls::{self, MAX_RECORD, TlsStream, Writer};
use crate::wire::packet_meter::PacketPiece;
use crate::wire::websocket::{ControlFrame, FrameReader, MessageHeader, close, message_header};
use cutter::Cutter;
pub(crate) use cutter::Messages;
use rest::Rest;
use unframe::{Course, Fault, GOING, peer, unframe};

/// Pieces of messages that one batch of records has at most.
const PIECES: usize = 16;

/// What stands before a piece of a packet: the header of its message, and the part of its
/// own that came before.
type Front = heapless::Vec<u8, { 14 + 3 }, u8>;

/// What a WebSocket is made of. Its upgrade is done, and the header of 64 bytes sent.
pub(crate) struct WebSocketParts {
    pub(crate) socket: Socket,
    /// Behind its handshake.
    pub(crate) tls: TlsStream,
    pub(crate) to_dc: CtrStream,
    pub(crate) messages: Messages,
    /// What came with the upgrade, at most one read.
    pub(crate) early: Vec<u8>,
}

/// What the client sends goes out as messages, of one packet each or of what there is, in one
/// frame whose header is written as soon as the length is known. What comes is one stream of bytes,
/// however it is cut into frames.
///
/// It holds at most one record beside `--buffers`: the beginning of one that is not
/// whole, or the end of one that was more than the client could be given.
pub(crate) struct WebSocket {
    socket: Socket,
    tls: TlsStream,
    writer: Rc<RefCell<Writer>>,
    to_dc: CtrStream,
    cutter: Cutter,
    frames: FrameReader,
    /// Bytes of the message under way that have not come from the client.
    message_left: usize,
    /// The answer to the other side's last ping, until a message ends.
    answer: Option<Box<ControlFrame>>,
    /// In frames, to be sealed when the kernel has taken all that is sealed.
    pending: Option<Box<Rope>>,
    /// So many bytes of frames are sealed, and not all of them taken by the kernel.
    sealed: usize,
    /// The client's bytes in these, of which the sender was not told yet that they are gone.
    unsettled: usize,
    /// Opened, and more than there was room for.
    rest: Rest,
    course: Course,
}

impl WebSocket {
    pub(crate) fn new(parts: WebSocketParts) -> io::Result<Self> {
        let writer = parts.tls.writer().ok_or(io::ErrorKind::NotConnected)?;
        let mut web = Self {
            writer,
            socket: parts.socket,
            tls: parts.tls,
            to_dc: parts.to_dc,
            cutter: Cutter::new(parts.messages),
            frames: FrameReader::default(),
            message_left: 0,
            answer: None,
            pending: None,
            sealed: 0,
            unsettled: 0,
            rest: Rest::default(),
            course: Course::Open,
        };
        web.begin(parts.early)?;
        Ok(web)
    }

    fn begin(&mut self, mut early: Vec<u8>) -> io::Result<()> {
        let Self {
            frames,
            answer,
            course,
            socket,
            ..
        } = self;
        let payload = unframe(frames, &mut early, answer, course, socket);
        let payload = payload.map_err(|_| io::ErrorKind::InvalidData)?;
        self.rest.keep(payload);
        self.reply()
    }

    /// A piece of a packet as it goes out, with what stands before it.
    fn encipher<'a>(&mut self, piece: PacketPiece<'a>) -> (Front, &'a mut [u8]) {
        let PacketPiece { start, bytes } = piece;
        let mut front = Front::new();
        if let Some(start) = start {
            let header: MessageHeader = message_header(start.length);
            let mut held = start.held;
            self.to_dc.apply(&mut held);
            self.message_left = start.length - held.len();
            front = header.iter().chain(&held).copied().collect();
        }
        self.message_left -= bytes.len();
        self.to_dc.apply(bytes);
        (front, bytes)
    }

    /// Control frames may not stand inside of a message's frame.
    fn due_answer(&mut self) -> Option<Box<ControlFrame>> {
        match self.message_left {
            0 => self.answer.take(),
            _ => None,
        }
    }

    /// Seals and writes what the kernel takes; the rest waits.
    fn write<'a>(
        &mut self,
        buffers: &Rc<BufferPool>,
        slices: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> io::Result<()> {
        let total: usize = slices.clone().map(<[u8]>::len).sum();
        let mut skipped = 0;
        while skipped < total && self.is_flushed() {
            let behind = slices.clone().scan(skipped, |skip, slice| {
                let (_, rest) = slice.split_at((*skip).min(slice.len()));
                *skip -= slice.len() - rest.len();
                Some(rest)
            });
            match self.seal(behind)? {
                0 => break,
                taken => skipped += taken,
            }
        }
        for slice in slices {
            let (gone, rest) = slice.split_at(skipped.min(slice.len()));
            skipped -= gone.len();
            if !rest.is_empty() {
                let pending = self.pending.get_or_insert_default();
                pending.append_overdrawn(buffers, rest);
            }
        }
        Ok(())
    }

    /// Seals as much as a batch has room for, and writes it: how much.
    fn seal<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut writer = self.writer.borrow_mut();
        let written = writer.write(&self.socket, slices);
        let is_flushed = writer.is_flushed();
        drop(writer);
        let taken = written.map_err(|error| self.fail_by(error))?;
        self.sealed = if is_flushed { 0 } else { taken };
        Ok(taken)
    }

    /// How many of the client's bytes are gone that were not told of. What is here has the
    /// headers of frames as well, so this may tell of a few bytes late, and never early.
    fn settle(&mut self) -> usize {
        let pending = self.pending.as_ref().map_or(0, |rope| rope.len());
        let kept = self.unsettled.min(pending + self.sealed);
        let gone = self.unsettled - kept;
        self.unsettled = kept;
        gone
    }

    /// Reads once: how much of the client's came.
    fn poll_record(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<usize> {
        // No more comes out than goes in; but if that is less than a record, no more than
        // one goes in.
        let limit = match most {
            MAX_RECORD.. => most,
            _ => self.tls.needed(),
        };
        let limit = limit.min(space.len());
        let space = space.get_mut(..limit).unwrap_or_default();
        let mut came = 0;
        let Self {
            socket,
            tls,
            frames,
            rest,
            answer,
            course,
            ..
        } = self;
        let read = tls.poll_read::<Fault>(cx, socket, space, &mut |data| {
            let payload = unframe(frames, data, answer, course, socket)?;
            let (now, later) = payload.split_at_mut(most.min(payload.len()));
            came += now.len();
            if !now.is_empty() {
                take(now);
            }
            rest.keep(later);
            Ok(())
        });
        match ready!(read) {
            Ok(()) => {}
            Err(Fault::Tls(tls::Error::Closed)) => self.course = Course::Ended,
            Err(Fault::Tls(error)) => {
                self.fail_by(error);
            }
            Err(Fault::Frame(error)) => {
                debug!("{}: {error}", peer(&self.socket));
                self.fail(io::ErrorKind::InvalidData);
            }
        }
        Poll::Ready(came)
    }

    /// Sends the answer that is due, if nothing is before it.
    fn reply(&mut self) -> io::Result<()> {
        if self.answer.is_some()
            && self.is_flushed()
            && let Some(answer) = self.due_answer()
        {
            self.seal([answer.as_slice()].into_iter())?;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.course {
            Course::Broken(kind) => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, kind: io::ErrorKind) -> io::Error {
        self.course = Course::Broken(kind);
        kind.into()
    }

    fn fail_by(&mut self, error: tls::Error) -> io::Error {
        let kind = match error {
            tls::Error::Broken(error) => error.kind(),
            tls::Error::Closed => io::ErrorKind::ConnectionReset,
            tls::Error::Tls(why) | tls::Error::Denied(why) => {
                debug!("{}: {why}", peer(&self.socket));
                io::ErrorKind::InvalidData
            }
        };
        self.fail(kind)
    }
}

impl Wrapped for WebSocket {
    fn send(&mut self, buffers: &Rc<BufferPool>, mut data: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let mut settled = data.len();
        loop {
            let mut pieces = heapless::Vec::<(Front, &mut [u8]), PIECES>::new();
            while !pieces.is_full() {
                let piece = match self.cutter.next(&mut data) {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break,
                    Err(_) => return Err(self.fail(io::ErrorKind::InvalidData)),
                };
                settled -= piece.bytes.len();
                self.unsettled += piece.bytes.len();
                let (front, bytes) = self.encipher(piece);
                // It is not full.
                let _ = pieces.push((front, bytes));
                if self.message_left == 0 && self.answer.is_some() {
                    break;
                }
            }
            let is_last = pieces.is_empty();
            let answer = self.due_answer();
            let answer = answer.as_ref().map_or(&[][..], |frame| frame);
            let slices = pieces
                .iter()
                .flat_map(|(front, bytes)| [front.as_slice(), bytes]);
            self.write(buffers, slices.chain([answer]))?;
            if is_last {
                // What the kernel took, and the beginning of a header, which stays here.
                return Ok(settled + self.settle());
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        self.check()?;
        loop {
            self.reply()?;
            if self.is_flushed() || self.socket.poll_writable(cx).is_pending() {
                return Ok(self.settle());
            }
            let flushed = self.writer.borrow_mut().flush(&self.socket);
            if !flushed.map_err(|error| self.fail_by(error))? {
                continue;
            }
            self.sealed = 0;
            if let Some(mut pending) = self.pending.take() {
                let taken = match pending.is_empty() {
                    true => Ok(0),
                    false => self.seal(pending.slices()),
                };
                pending.advance(*taken.as_ref().unwrap_or(&0));
                self.pending = Some(pending);
                taken?;
            }
        }
    }

    fn is_flushed(&self) -> bool {
        let is_empty = self.pending.as_ref().is_none_or(|rope| rope.is_empty());
        is_empty && self.writer.borrow().is_flushed() && self.check().is_ok()
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let kept = self.rest.give(most, take);
        if kept > 0 {
            return Poll::Ready(Ok(kept));
        }
        for _ in 0..READS_PER_TURN {
            match self.course {
                Course::Open => {}
                Course::Ended => return Poll::Ready(Ok(0)),
                Course::Broken(kind) => return Poll::Ready(Err(kind.into())),
            }
            let came = ready!(self.poll_record(cx, space, most, take));
            // An error is met again by who reads or flushes.
            if self.reply().is_ok_and(|()| !self.is_flushed()) {
                // Who waits for the kernel is the one that flushes.
                cx.waker().wake_by_ref();
            }
            if came > 0 {
                return Poll::Ready(Ok(came));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn hibernate(&mut self) {
        self.to_dc.hibernate();
        self.pending.take_if(|rope| rope.is_empty());
        self.tls.hibernate();
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.rest.held()
    }
}

impl Drop for WebSocket {
    /// Without waiting for anybody.
    fn drop(&mut self) {
        if self.course == Course::Open && self.message_left == 0 && self.is_flushed() {
            let goodbye = close(GOING);
            let _ = self.seal([goodbye.as_slice()].into_iter());
        }
    }
}

#[cfg(test)]
mod tests;
