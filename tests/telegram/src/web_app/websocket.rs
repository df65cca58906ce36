//! WebSocket from the client's end: what goes is masked and cut as told, what comes is
//! checked to the letter.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use super::api::Api;
use super::channel::Channel;
use super::frames::MAX_BATCH;
use super::http::{Connection, Request};
use super::options::Cut;
use crate::client::invalid;
use crate::crypto::random;
use crate::shared::lock;
use crate::web_front::manners::Width;
use crate::web_front::request::proof;
use crate::web_front::{CLOSE, PING, PONG, header};

const BINARY: u8 = 2;

/// The longest fragment that Chromium makes.
const CHROMIUM: usize = 131_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Close(u16, String),
}

pub struct Socket {
    channel: Arc<Channel>,
    input: Vec<u8>,
    /// Of the message that is not whole yet.
    parts: Option<Vec<u8>>,
    sender: Arc<Sender>,
}

/// Its other direction, which belongs to others too.
pub struct Sender {
    channel: Arc<Channel>,
    cutter: Mutex<Cutter>,
    turn: smol::lock::Mutex<()>,
}

impl Socket {
    pub async fn open(api: &Api, token: &str) -> io::Result<Self> {
        let request = api.socket(token);
        let protocol = format!("tproxy-v1.{token}");
        Self::upgrade(api, &request, &protocol).await
    }

    /// One by this request, which must be answered with this subprotocol.
    pub async fn upgrade(api: &Api, request: &Request, protocol: &str) -> io::Result<Self> {
        let mut connection = Connection::open(&api.options).await?;
        let answer = connection.ask(request).await?;
        if answer.status != 101 {
            return Err(invalid(format!("no socket: status {}", answer.status)));
        }
        let mut keys = request.fields.iter();
        let key = keys.find(|field| field.0 == "Sec-WebSocket-Key");
        let key = key.map(|field| field.1.as_str()).unwrap_or_default();
        for (name, expected) in [
            ("Upgrade", "websocket"),
            ("Connection", "upgrade"),
            ("Sec-WebSocket-Accept", &proof(key)),
            ("Sec-WebSocket-Protocol", protocol),
        ] {
            let value = answer.field(name).unwrap_or_default();
            let is_as_said = match name.starts_with("Sec") {
                true => value == expected,
                false => value.eq_ignore_ascii_case(expected),
            };
            if !is_as_said {
                return Err(invalid(format!("{name} of the answer is {value:?}")));
            }
        }
        if answer.has("Sec-WebSocket-Extensions") {
            return Err(invalid("an extension that nobody needs".to_owned()));
        }
        let (channel, input) = connection.into_parts();
        let sender = Sender {
            channel: channel.clone(),
            cutter: Mutex::new(Cutter::new(api.options.cut)),
            turn: smol::lock::Mutex::new(()),
        };
        Ok(Self {
            channel,
            input,
            parts: None,
            sender: Arc::new(sender),
        })
    }

    /// Its connection, and what has come of it already.
    pub(super) fn into_parts(self) -> (Arc<Channel>, Vec<u8>) {
        (self.channel, self.input)
    }

    pub fn sender(&self) -> Arc<Sender> {
        self.sender.clone()
    }

    /// The next message; `None` at an end without a CLOSE.
    pub async fn recv(&mut self) -> io::Result<Option<Message>> {
        loop {
            while let Some((first, payload)) = take(&mut self.input).map_err(invalid)? {
                if let Some(message) = self.take(first, payload).map_err(invalid)? {
                    return Ok(Some(message));
                }
            }
            let mut bytes = match self.channel.read().await {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Vec::new(),
                outcome => outcome?,
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            self.input.append(&mut bytes);
        }
    }

    fn take(&mut self, first: u8, payload: Vec<u8>) -> Result<Option<Message>, String> {
        let (opcode, is_last) = (first & 0x0f, first & 0x80 != 0);
        match opcode {
            PING => return Ok(Some(Message::Ping(payload))),
            PONG => {
                lock(&self.sender.cutter).answered(&payload)?;
                return Ok(None);
            }
            CLOSE => {
                let code = payload.first_chunk::<2>();
                let code = code.map_or(1005, |code| u16::from_be_bytes(*code));
                let text = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                return Ok(Some(Message::Close(code, text.into_owned())));
            }
            _ => {}
        }
        let mut whole = match (opcode, self.parts.take()) {
            (BINARY, None) => Vec::new(),
            (0, Some(parts)) => parts,
            (opcode, open) => {
                let open = open.map_or("", |_| " within a message");
                return Err(format!("a frame of opcode {opcode}{open}"));
            }
        };
        whole.extend_from_slice(&payload);
        if whole.len() > MAX_BATCH {
            return Err(format!("a message of more than {MAX_BATCH} bytes"));
        }
        if is_last {
            return Ok(Some(Message::Binary(whole)));
        }
        self.parts = Some(whole);
        Ok(None)
    }
}

impl Sender {
    /// Sends a message, cut as told.
    pub async fn send(&self, message: &[u8]) -> io::Result<()> {
        let writes = lock(&self.cutter).cut(message);
        let _turn = self.turn.lock().await;
        for bytes in writes {
            self.channel.write(&bytes).await?;
        }
        Ok(())
    }

    /// Sends a frame that says so in its first byte.
    pub async fn frame(&self, first: u8, payload: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        self.channel.write(&masked(first, payload)).await
    }

    /// Sends bytes as they are.
    pub async fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.channel.write(bytes).await
    }

    pub async fn pong(&self, payload: &[u8]) -> io::Result<()> {
        self.frame(0x80 | PONG, payload).await
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        self.channel.cut();
    }
}

struct Cutter {
    cut: Cut,
    state: u64,
    /// Payloads of pings without an answer.
    pings: VecDeque<Vec<u8>>,
}

impl Cutter {
    fn new(cut: Cut) -> Self {
        let state = match cut {
            Cut::Anywhere(seed) => seed,
            _ => 0,
        };
        Self {
            cut,
            state: state ^ 0x9e37_79b9_7f4a_7c15,
            pings: VecDeque::new(),
        }
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) as usize % limit.max(1)
    }

    /// What is to be written, one after the other.
    fn cut(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        match self.cut {
            Cut::Whole => vec![masked(0x80 | BINARY, message)],
            Cut::Chromium => {
                let mut out = Vec::with_capacity(message.len() + 64);
                // A beginning of 512 bytes, now and then.
                let short = match message.len() > 512 && self.below(4) == 0 {
                    true => 512,
                    false => CHROMIUM,
                };
                let (first, rest) = message.split_at(short.min(message.len()));
                let parts: Vec<_> = [first].into_iter().chain(rest.chunks(CHROMIUM)).collect();
                for (at, part) in parts.iter().enumerate() {
                    out.append(&mut fragment(at == 0, at + 1 == parts.len(), part));
                }
                vec![out]
            }
            Cut::Anywhere(_) => {
                let (mut writes, mut rest, mut is_first) = (Vec::new(), message, true);
                loop {
                    let most = [9, 100, 5000, 70_000][self.below(4)];
                    let (part, behind) = rest.split_at(self.below(most).min(rest.len()));
                    rest = behind;
                    let is_last = rest.is_empty() && self.below(2) == 0;
                    let mut bytes = fragment(is_first, is_last, part);
                    is_first = false;
                    if self.below(8) == 0 && self.pings.len() < 64 {
                        let payload = random::<125>()[..self.below(126)].to_vec();
                        bytes.append(&mut masked(0x80 | PING, &payload));
                        self.pings.push_back(payload);
                    }
                    // Cut on the way too.
                    let at = self.below(bytes.len());
                    let behind = bytes.split_off(at);
                    writes.extend([bytes, behind]);
                    if is_last {
                        return writes;
                    }
                }
            }
        }
    }

    /// A PONG came: that of the oldest ping, or of a later one.
    fn answered(&mut self, payload: &[u8]) -> Result<(), String> {
        let at = self.pings.iter().position(|one| one == payload);
        let at = at.ok_or("a PONG that nobody asked for")?;
        self.pings.drain(..=at);
        Ok(())
    }
}

fn fragment(is_first: bool, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let opcode = if is_first { BINARY } else { 0 };
    masked(opcode | u8::from(is_last) << 7, payload)
}

/// A frame of a client that says so in its first byte.
pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask: [u8; 4] = random();
    let mut out = header(0, false, payload.len() as u64, Width::Minimal);
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

/// Takes a server's frame off the front of `input`: its first byte and payload.
fn take(input: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, String> {
    let Some(&[first, second]) = input.first_chunk::<2>() else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(format!("reserved bits in the frame {first:02x}"));
    }
    if second & 0x80 != 0 {
        return Err("a frame with a mask".to_owned());
    }
    let opcode = first & 0x0f;
    if !matches!(opcode, 0 | BINARY | CLOSE | PING | PONG) {
        return Err(format!("a frame of opcode {opcode}"));
    }
    let (least, wide) = match second {
        126 => (126, 2),
        127 => (1 << 16, 8),
        short => (u64::from(short), 0),
    };
    let Some(told) = input.get(2..2 + wide) else {
        return Ok(None);
    };
    let length = match wide {
        0 => least,
        _ => told.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if length < least {
        return Err(format!("a length of {wide} bytes for {length}"));
    }
    if opcode >= CLOSE && (length > 125 || first & 0x80 == 0) {
        return Err(format!("a control frame {first:02x} of {length} bytes"));
    }
    if length > MAX_BATCH as u64 {
        return Err(format!("a frame of {length} bytes"));
    }
    let end = 2 + wide + length as usize;
    if input.len() < end {
        return Ok(None);
    }
    let payload = input[2 + wide..end].to_vec();
    input.drain(..end);
    Ok(Some((first, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::from_hex;

    #[test]
    fn a_relays_frame_is_that_of_the_vector() {
        let mut input = from_hex("820c040000010000000400000069").unwrap();
        let (first, payload) = take(&mut input).unwrap().unwrap();
        assert_eq!((first, payload.len(), input.len()), (0x82, 12, 0));
    }

    #[test]
    fn what_no_server_may_send_is_named() {
        let long = [&[0x82, 127][..], &(3u64 << 20).to_be_bytes()].concat();
        for (bytes, expected) in [
            (masked(0x82, b"x"), "with a mask"),
            (vec![0xc2, 0], "reserved"),
            (vec![0x81, 0], "opcode 1"),
            (vec![0x83, 0], "opcode 3"),
            (vec![0x82, 126, 0, 5], "2 bytes for 5"),
            (vec![0x09, 0], "control"),
            (vec![0x89, 126, 0, 126], "control"),
            (long, "3145728"),
        ] {
            let said = take(&mut bytes.clone()).unwrap_err();
            assert!(said.contains(expected), "{said}: {expected}");
        }
    }

    /// Unmasks and joins, as a server would.
    fn joined(bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), bytes);
        while let [first, second, ..] = *rest {
            let wide = match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let told = &rest[2..2 + wide];
            let length = match wide {
                0 => usize::from(second & 0x7f),
                _ => told
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            };
            let mask = &rest[2 + wide..6 + wide];
            let payload = &rest[6 + wide..6 + wide + length];
            if first & 0x0f < CLOSE {
                out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
            }
            rest = &rest[6 + wide + length..];
        }
        out
    }

    #[test]
    fn messages_add_up_however_they_are_cut() {
        let message: Vec<u8> = (0..300_000u32).map(|at| (at / 7) as u8).collect();
        let seeds = (0..20).map(Cut::Anywhere);
        for cut in [Cut::Whole, Cut::Chromium].into_iter().chain(seeds) {
            let mut cutter = Cutter::new(cut);
            for length in [1, 8, 600, 65_544, 300_000] {
                let bytes = cutter.cut(&message[..length]).concat();
                assert_eq!(joined(&bytes), &message[..length], "{cut:?}");
            }
        }
    }
}
