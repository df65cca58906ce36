//! One connection to the relay.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use smol::Async;
use smol::io::AsyncWriteExt;

use crate::socket::read_some;

/// A request.
pub(super) struct Asked {
    /// `GET /path`.
    pub what: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<String> {
        let mut lines = self.head.split("\r\n").skip(1);
        lines.find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    pub fn number(&self, name: &str) -> u64 {
        let value = self.field(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no number in {name}"))
    }
}

pub(super) struct Talk {
    writer: Arc<Writer>,
    input: Vec<u8>,
}

/// For several who write to one connection: what one of them writes stays together,
/// also where the socket takes it in pieces.
pub(super) struct Writer {
    stream: Async<TcpStream>,
    turn: smol::lock::Mutex<()>,
}

impl Writer {
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        (&self.stream).write_all(bytes).await
    }
}

impl Talk {
    pub fn new(stream: Async<TcpStream>) -> Self {
        Self {
            writer: Arc::new(Writer {
                stream,
                turn: smol::lock::Mutex::new(()),
            }),
            input: Vec::new(),
        }
    }

    pub fn writer(&self) -> Arc<Writer> {
        self.writer.clone()
    }

    pub async fn request(&mut self) -> io::Result<Asked> {
        let end = loop {
            let mut places = self.input.windows(4);
            match places.position(|end| end == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let words: Vec<_> = head.split(' ').take(2).collect();
        let mut asked = Asked {
            what: words.join(" "),
            body: Vec::new(),
            head,
        };
        let length = asked.field("content-length");
        let length = length.and_then(|value| value.parse().ok()).unwrap_or(0);
        asked.body = self.take(length).await?;
        Ok(asked)
    }

    pub async fn answer(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} As Said\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if status >= 200 && status != 204 {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.write(&[head.as_bytes(), b"\r\n", body].concat()).await
    }

    /// The next message of a WebSocket client, put together; pings are answered.
    pub async fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let (mut whole, mut kind) = (Vec::new(), 0);
        loop {
            let head = self.take(2).await?;
            let wide = match head[1] & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let told = self.take(wide).await?;
            let length = match wide {
                0 => usize::from(head[1] & 0x7f),
                _ => told
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            };
            let mask = self.take(4).await?;
            let mut payload = self.take(length).await?;
            for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= mask;
            }
            let (opcode, is_last) = (head[0] & 0x0f, head[0] & 0x80 != 0);
            match opcode {
                9 => {
                    let pong = crate::web_front::frame(10, &payload);
                    self.write(&pong).await?;
                }
                8 => return Ok((8, payload)),
                _ => {
                    kind = kind.max(opcode);
                    whole.append(&mut payload);
                    if is_last {
                        return Ok((kind, whole));
                    }
                }
            }
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write(bytes).await
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.more().await?;
        }
        Ok(self.input.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut bytes = read_some(&self.writer.stream).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.append(&mut bytes);
        Ok(())
    }
}
