//! An app that is nobody else's: its own encoding of frames, requests and WebSockets.

use std::rc::Rc;
use std::time::Duration;

use super::world::{CAPABILITY, DEADLINE, HOST, World};
use crate::net::{Reactor, Socket};

pub(super) const OPEN: u8 = 1;
pub(super) const DATA: u8 = 2;
pub(super) const CLOSE: u8 = 3;
pub(super) const WINDOW: u8 = 4;

pub(super) fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(&stream.to_be_bytes()[1..]);
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) fn open(stream: u32) -> Vec<u8> {
    frame(OPEN, stream, &[])
}

pub(super) fn window(stream: u32, credit: u32) -> Vec<u8> {
    frame(WINDOW, stream, &credit.to_be_bytes())
}

/// A frame from the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// All of `bytes`, which are whole frames.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        frames.push(Frame {
            kind: bytes[0],
            stream: u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]),
            payload: bytes[8..8 + length].to_vec(),
        });
        bytes = &bytes[8 + length..];
    }
    frames
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (one, value) = line.split_once(": ")?;
            one.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A connection of HTTP, the client's end.
pub(super) struct Http {
    reactor: Rc<Reactor>,
    pub(super) socket: Socket,
    received: Vec<u8>,
}

pub(super) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut request = (request + "\r\n").into_bytes();
    request.extend(body);
    request
}

impl Http {
    pub(super) fn new(reactor: &Rc<Reactor>, socket: Socket) -> Self {
        Self {
            reactor: reactor.clone(),
            socket,
            received: Vec::new(),
        }
    }

    pub(super) async fn send(&self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> bool {
        let mut space = vec![0; 65536];
        let read = self
            .reactor
            .timeout(DEADLINE * 3, self.socket.read(&mut space));
        let length = read.await.expect("something comes").unwrap_or(0);
        self.received.extend(&space[..length]);
        length > 0
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }

    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            let end = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => {
                    if !self.more().await {
                        return None;
                    }
                }
            }
        };
        let head = String::from_utf8(self.take(end).await?).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.take(length).await?;
        }
        Some(answer)
    }

    pub(super) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(&request(method, target, fields, body)).await;
        self.answer().await.expect("an answer")
    }

    /// Ended by the proxy, within the deadline.
    pub(super) async fn has_ended(&mut self) -> bool {
        while self.more().await {}
        true
    }
}

pub(super) const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");
pub(super) const HELLO: &[u8] = &[0x10, 0, 0, 0, 0, 0, 0, 1, 1];
pub(super) const WELCOME: &[u8] = &[0x11, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A page's token.
pub(super) async fn bootstrap(world: &World, address: &str) -> String {
    let mut http = world.connect_from(address).await;
    let page = http
        .ask("GET", &format!("/?bridge={CAPABILITY}"), &[], &[])
        .await;
    assert_eq!(page.status, 200, "{}", page.head);
    let text = String::from_utf8(page.body).unwrap();
    let mut quoted = text.split('"').filter(|text| text.len() == 43);
    quoted.next().expect("a token").to_owned()
}

pub(super) async fn begin(http: &mut Http, bootstrap: &str) -> Answer {
    let bearer = bearer(bootstrap);
    let fields = [("Authorization", bearer.as_str()), OCTETS];
    http.ask("POST", "/api/v1/session", &fields, HELLO).await
}

/// A new session's token.
pub(super) async fn session(world: &World) -> String {
    session_from(world, "192.0.2.1").await
}

pub(super) async fn session_from(world: &World, address: &str) -> String {
    let bootstrap = bootstrap(world, address).await;
    let mut http = world.connect_from(address).await;
    let answer = begin(&mut http, &bootstrap).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.body, WELCOME);
    answer.field("x-session-token").unwrap().to_owned()
}

/// A session's WebSocket, the app's end.
pub(super) struct Ws {
    pub(super) http: Http,
    /// Frames that have come and were not asked for.
    come: std::collections::VecDeque<Frame>,
}

pub(super) fn upgrade(token: &str) -> Vec<u8> {
    let protocol = format!("tproxy-v1.{token}");
    let fields = [
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", &protocol),
        ("Cookie", "a=b"),
    ];
    request("GET", "/api/v1/ws", &fields, &[])
}

/// A frame of a WebSocket from a client.
pub(super) fn ws_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

impl Ws {
    pub(super) async fn open(world: &World, token: &str) -> Self {
        Self::open_from(world, token, "192.0.2.1").await
    }

    pub(super) async fn open_from(world: &World, token: &str, address: &str) -> Self {
        let mut http = world.connect_from(address).await;
        http.send(&upgrade(token)).await;
        let answer = http.answer().await.unwrap();
        assert_eq!(answer.status, 101, "{}", answer.head);
        let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.field("sec-websocket-accept"), accept);
        let protocol = format!("tproxy-v1.{token}");
        assert_eq!(answer.field("sec-websocket-protocol"), Some(&*protocol));
        Self {
            http,
            come: Default::default(),
        }
    }

    /// A new session's.
    pub(super) async fn new(world: &World) -> Self {
        let token = session(world).await;
        Self::open(world, &token).await
    }

    pub(super) async fn send(&self, batch: &[u8]) {
        self.http.send(&ws_frame(0x82, batch)).await;
    }

    /// The next frame of the WebSocket: its first byte and its payload.
    pub(super) async fn raw(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.http.take(2).await?;
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(
                self.http.take(2).await?.try_into().unwrap(),
            )),
            127 => u64::from_be_bytes(self.http.take(8).await?.try_into().unwrap()),
            short => u64::from(short),
        };
        assert_eq!(head[1] & 0x80, 0, "servers do not mask");
        Some((head[0], self.http.take(length as usize).await?))
    }

    /// The next frame of the session; pings are answered.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.come.pop_front() {
                return Some(frame);
            }
            match self.raw().await? {
                (0x82, batch) => {
                    assert!(!batch.is_empty());
                    self.come.extend(frames(&batch));
                }
                (0x89, body) => self.http.send(&ws_frame(0x8a, &body)).await,
                (0x88, _) => return None,
                (first, _) => panic!("{first:#x}"),
            }
        }
    }

    /// The next data of `stream`, in `count` bytes; windows are passed over.
    pub(super) async fn data(&mut self, stream: u32, count: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < count {
            let frame = self.next().await.expect("the session lives");
            if frame.kind == WINDOW {
                continue;
            }
            assert_eq!((frame.kind, frame.stream), (DATA, stream));
            data.extend(frame.payload);
        }
        data
    }

    /// The session is over: how the WebSocket says so.
    pub(super) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.raw().await {
                None => return None,
                Some((0x88, body)) => {
                    return Some(u16::from_be_bytes(body[..2].try_into().unwrap()));
                }
                Some(_) => {}
            }
        }
    }
}

pub(super) async fn pause(world: &World, time: Duration) {
    world.reactor.sleep(time).await;
}
