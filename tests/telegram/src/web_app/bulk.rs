//! A session for measurements: it looks at as little as it can of what comes, so that it
//! is not what is measured. Who wants to know whether all is as it should be takes a
//! [`Session`](super::Session).

use std::io;
use std::sync::Arc;

use super::channel::Channel;
use super::frames::{CLOSE, CREDIT, DATA, MAX_BATCH, OPEN, WINDOW, frame};
use super::options::Options;
use super::websocket::{Socket, masked};
use crate::client::{Codec, Kind, invalid};
use crate::payload::{Command, echo};
use crate::transport::Unit;

/// Bytes that are granted at a time.
const GRANT: u32 = 256 << 10;
/// The longest DATA that it sends.
const PART: usize = 64 << 10;
/// What begins a message in one frame.
const BINARY: u8 = 0x82;

pub struct Bulk {
    channel: Arc<Channel>,
    incoming: Incoming,
    streams: Vec<Line>,
    first: u32,
}

/// One stream: a padded client.
struct Line {
    codec: Codec,
    /// Bytes that came and were not granted again.
    used: u32,
    /// What may still be sent.
    credit: u64,
    /// Bytes that came, ever.
    came: u64,
    /// What comes is deciphered, for it has answers that are waited for.
    is_read: bool,
    answers: u32,
}

/// Where in a frame of WebSocket, and in one of the session, the next byte stands.
#[derive(Default)]
struct Incoming {
    header: Vec<u8>,
    /// Bytes of the message under way, or of something else that is skipped.
    message: u64,
    is_skipped: bool,
    /// Bytes of DATA under way, and whose.
    data: u64,
    stream: u32,
}

impl Bulk {
    /// A session with so many streams, each of which has been served.
    pub async fn open(options: &Options, streams: usize) -> io::Result<Self> {
        let api = options.api().await?;
        let (token, _) = api.create().await?;
        let (channel, input) = Socket::open(&api, &token).await?.into_parts();
        let transport = Kind::Padded.options(options.door).transport;
        let line = || Line {
            codec: Codec::new(transport, 2, Some(&options.secret.key)),
            used: 0,
            credit: CREDIT,
            came: 0,
            is_read: true,
            answers: 0,
        };
        let mut bulk = Self {
            channel,
            incoming: Incoming::default(),
            streams: std::iter::repeat_with(line).take(streams).collect(),
            first: options.first_stream,
        };
        bulk.take(input).await?;
        let opens = (0..streams).map(|at| frame(OPEN, bulk.id(at), &[]));
        let opens: Vec<_> = opens.flatten().collect();
        bulk.send(&opens).await?;
        bulk.ask_all(&echo(1, 64)).await?;
        Ok(bulk)
    }

    /// Has each stream sent so many bytes, in packets of `size`, as fast as they come.
    pub async fn download(&mut self, each: u32, size: u32) -> io::Result<()> {
        self.begin_download(each, size).await?;
        while !self.has_all(each) {
            self.receive().await?;
        }
        Ok(())
    }

    /// Asks for that much, and reads nothing of it.
    pub async fn begin_download(&mut self, each: u32, size: u32) -> io::Result<()> {
        let wish = Command::SendMe { total: each, size };
        let wish = wish.payload_of(64);
        let mut frames = Vec::new();
        for at in 0..self.streams.len() {
            let line = &mut self.streams[at];
            (line.came, line.is_read) = (0, false);
            self.pack(at, &wish, &mut frames);
        }
        self.send(&frames).await
    }

    fn has_all(&self, each: u32) -> bool {
        self.streams.iter().all(|line| line.came >= each.into())
    }

    /// Sends a packet on each stream and waits for an answer to each.
    pub async fn ask_all(&mut self, payload: &[u8]) -> io::Result<()> {
        for at in 0..self.streams.len() {
            let mut frames = Vec::new();
            self.pack(at, payload, &mut frames);
            self.send(&frames).await?;
        }
        while self.streams.iter().any(|line| line.answers == 0) {
            self.receive().await?;
        }
        for line in &mut self.streams {
            line.answers -= 1;
        }
        Ok(())
    }

    fn id(&self, at: usize) -> u32 {
        self.first + at as u32
    }

    /// A packet in frames, for which there must be credit: it was granted again before
    /// the last answer.
    fn pack(&mut self, at: usize, payload: &[u8], frames: &mut Vec<u8>) {
        let id = self.id(at);
        let line = &mut self.streams[at];
        let bytes = line.codec.packet(payload, false, &[]);
        line.credit = (line.credit)
            .checked_sub(bytes.len() as u64)
            .expect("what a DC has taken is granted again");
        for part in bytes.chunks(PART) {
            frames.append(&mut frame(DATA, id, part));
        }
    }

    async fn send(&self, frames: &[u8]) -> io::Result<()> {
        debug_assert!(frames.len() <= MAX_BATCH);
        self.channel.write(&masked(BINARY, frames)).await
    }

    /// Reads once.
    pub async fn receive(&mut self) -> io::Result<usize> {
        let bytes = self.channel.read().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = bytes.len();
        self.take(bytes).await?;
        Ok(length)
    }

    async fn take(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let mut grants = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.incoming.next(&mut rest).map_err(invalid)? {
                None => {}
                Some(Piece::Data(stream, part)) => {
                    let first = self.first;
                    let line = line_of(&mut self.streams, first, stream)?;
                    line.take(part).map_err(invalid)?;
                    if line.used >= GRANT {
                        let credit = line.used.to_be_bytes();
                        grants.append(&mut frame(WINDOW, stream, &credit));
                        line.used = 0;
                    }
                }
                Some(Piece::Window(stream, credit)) => {
                    let first = self.first;
                    let line = line_of(&mut self.streams, first, stream)?;
                    line.credit += u64::from(credit);
                }
                Some(Piece::Closed(stream)) => {
                    return Err(invalid(format!("stream {stream} is closed")));
                }
            }
        }
        if !grants.is_empty() {
            self.send(&grants).await?;
        }
        Ok(())
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.channel.cut();
    }
}

fn line_of(streams: &mut [Line], first: u32, stream: u32) -> io::Result<&mut Line> {
    let at = stream.wrapping_sub(first) as usize;
    let line = streams.get_mut(at);
    line.ok_or_else(|| invalid(format!("bytes for stream {stream}")))
}

impl Line {
    fn take(&mut self, part: &[u8]) -> Result<(), String> {
        self.used += part.len() as u32;
        self.came += part.len() as u64;
        if self.is_read {
            self.codec.push(part)?;
            while let Some(unit) = self.codec.next_unit()? {
                if matches!(unit, Unit::Packet { .. }) {
                    self.answers += 1;
                }
            }
        }
        Ok(())
    }
}

enum Piece<'a> {
    Data(u32, &'a [u8]),
    Window(u32, u32),
    Closed(u32),
}

impl Incoming {
    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<Piece<'a>>, String> {
        if self.data > 0 {
            let part = take_up_to(rest, self.data);
            self.data -= part.len() as u64;
            return Ok(Some(Piece::Data(self.stream, part)));
        }
        if self.message > 0 && self.is_skipped {
            self.message -= take_up_to(rest, self.message).len() as u64;
            return Ok(None);
        }
        let (&byte, behind) = rest.split_first().ok_or("nothing")?;
        *rest = behind;
        self.header.push(byte);
        match self.message {
            0 => self.begin_message()?,
            _ => return self.begin_frame(),
        }
        Ok(None)
    }

    fn begin_message(&mut self) -> Result<(), String> {
        let &[first, second, ref wide @ ..] = &self.header[..] else {
            return Ok(());
        };
        let width = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if wide.len() < width {
            return Ok(());
        }
        self.message = match width {
            0 => second.into(),
            _ => wide.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.is_skipped = first != BINARY;
        self.header.clear();
        match first {
            BINARY | 0x89 | 0x8a => Ok(()),
            other => Err(format!("a frame {other:02x} of WebSocket")),
        }
    }

    fn begin_frame<'a>(&mut self) -> Result<Option<Piece<'a>>, String> {
        let &[kind, a, b, c, d, e, f, g, ref body @ ..] = &self.header[..] else {
            return Ok(None);
        };
        let stream = u32::from_be_bytes([0, a, b, c]);
        let length = u32::from_be_bytes([d, e, f, g]);
        let piece = match (kind, body) {
            (DATA, _) => {
                (self.data, self.stream) = (length.into(), stream);
                self.message -= u64::from(length);
                None
            }
            (WINDOW, &[a, b, c, d]) => {
                self.message -= 4;
                Some(Piece::Window(stream, u32::from_be_bytes([a, b, c, d])))
            }
            (WINDOW, _) => return Ok(None),
            (CLOSE, _) => Some(Piece::Closed(stream)),
            (other, _) => return Err(format!("a frame of type {other}")),
        };
        self.message -= 8;
        self.header.clear();
        Ok(piece)
    }
}

fn take_up_to<'a>(rest: &mut &'a [u8], most: u64) -> &'a [u8] {
    let (part, behind) = rest.split_at(rest.len().min(most as usize));
    *rest = behind;
    part
}
