//! A client of a web front, blocking, that does as it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::frames::{BINARY, header};
use super::manners::Width;
use super::{Authority, WebFront};
use crate::client::Codec;
use crate::obfuscated;
use crate::payload;
use crate::transport::{Transport, Unit};
use crate::wait::patience;

pub(super) const HOST: &str = "kws2.web.telegram.org";
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(super) fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
    )
}

pub(super) fn config(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

pub(super) struct TestClient {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
}

impl TestClient {
    /// Comes with this name in its hello, and has shaken hands.
    pub fn connect(front: &WebFront, name: &str) -> Result<Self, String> {
        Self::connect_with(front, name, config(&front.options().authority))
    }

    pub fn connect_with(
        front: &WebFront,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        let tcp = TcpStream::connect(front.address()).map_err(|error| error.to_string())?;
        tcp.set_read_timeout(Some(patience())).unwrap();
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            let done = stream.conn.complete_io(&mut stream.sock);
            done.map_err(|error| error.to_string())?;
        }
        Ok(Self {
            stream,
            input: Vec::new(),
        })
    }

    /// One that was upgraded at the name.
    pub fn upgraded(front: &WebFront, host: &str, path: &str) -> Self {
        let mut client = Self::connect(front, host).unwrap();
        client.write(request(host, path).as_bytes());
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // What the other end did shows when it is read.
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    /// The next bytes in `input`; false at the end.
    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(length @ 1..) => {
                self.input.extend_from_slice(&piece[..length]);
                true
            }
            Ok(0) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("silence"),
            Err(_) => false,
        }
    }

    /// The answer's head; `None` if it never ends.
    pub fn head(&mut self) -> Option<String> {
        loop {
            let end = self.input.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(at) = end {
                let head = self.input.drain(..at + 4).collect();
                return String::from_utf8(head).ok();
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Sends a frame that says so in its first byte.
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = header(0, false, payload.len() as u64, Width::Minimal);
        let mask = [1, 2, 3, 4];
        frame[0] = first;
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        self.write(&frame);
    }

    /// A frame's first byte and payload; `None` at the end.
    pub fn recv(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2)?;
        let wide = match head[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let told = self.take(wide)?;
        let length = match wide {
            0 => usize::from(head[1] & 0x7f),
            _ => told
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        };
        Some((head[0], self.take(length)?))
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.input.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.input.drain(..length).collect())
    }

    /// The next bytes of frames, as they are.
    pub fn take_raw(&mut self, length: usize) -> Vec<u8> {
        self.take(length).expect("so many bytes")
    }

    /// Nothing comes for so long, not even the end.
    pub fn expect_silence(&mut self, patience: Duration) {
        assert!(is_silent(&mut self.stream, patience));
    }

    /// How far it comes with a front that falls silent, as `progress` counts; `None`
    /// if it is not silent but ends.
    pub fn connect_silent(front: &WebFront, name: &str, patience: Duration) -> Option<usize> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(config(&front.options().authority), name).unwrap();
        let tcp = TcpStream::connect(front.address()).unwrap();
        let mut stream = StreamOwned::new(tls, tcp);
        stream.sock.set_read_timeout(Some(patience)).unwrap();
        while stream.conn.is_handshaking() {
            if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
                return (error.kind() == ErrorKind::WouldBlock).then_some(0);
            }
        }
        let mut client = Self {
            stream,
            input: Vec::new(),
        };
        client.write(request(HOST, "/apiws").as_bytes());
        let mut piece = [0; 4096];
        while !client.input.windows(4).any(|end| end == b"\r\n\r\n") {
            match client.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(length) => client.input.extend_from_slice(&piece[..length]),
                Err(error) => return (error.kind() == ErrorKind::WouldBlock).then_some(1),
            }
        }
        let mut session = Session::over(client, Transport::Abridged, 2);
        session.send(&payload::echo(1, 640));
        is_silent(&mut session.client.stream, patience).then_some(2)
    }

    /// Waits for the end, and nothing but frames before it.
    pub fn last(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut last = None;
        while let Some(frame) = self.recv() {
            last = Some(frame);
        }
        last
    }
}

/// Reads what still comes; whether that is followed by nothing, not by an end.
fn is_silent(stream: &mut StreamOwned<ClientConnection, TcpStream>, patience: Duration) -> bool {
    stream.sock.set_read_timeout(Some(patience)).unwrap();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// A Telegram client of it.
pub(super) struct Session {
    pub client: TestClient,
    pub codec: Codec,
    /// Bytes of a frame that were read beyond what was asked for.
    left: u64,
}

impl Session {
    /// The header is a message of its own.
    pub fn over(mut client: TestClient, transport: Transport, dc: i16) -> Self {
        let (header, streams) = obfuscated::initiate(transport, dc, None);
        client.send(0x80 | BINARY, &header);
        Self {
            client,
            codec: Codec::over(transport, streams),
            left: 0,
        }
    }

    pub fn send(&mut self, payload: &[u8]) {
        let packet = self.codec.packet(payload, false, &[1, 2]);
        self.client.send(0x80 | BINARY, &packet);
    }

    /// The next packet, without waiting for whole frames; pings are answered.
    pub fn recv(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(Unit::Packet { payload, .. }) = self.codec.next_unit().unwrap() {
                return Some(payload);
            }
            if self.left == 0 {
                let head = self.client.take(2)?;
                let wide = match head[1] & 0x7f {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                let told = self.client.take(wide)?;
                let length = match wide {
                    0 => u64::from(head[1]),
                    _ => told.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                };
                match head[0] & 0x0f {
                    0..=2 => self.left = length,
                    opcode => {
                        let payload = self.client.take(length as usize)?;
                        match opcode {
                            9 => self.client.send(0x8a, &payload),
                            8 => return None,
                            _ => {}
                        }
                    }
                }
                continue;
            }
            if self.client.input.is_empty() && !self.client.more() {
                return None;
            }
            let length = self.client.input.len().min(self.left as usize);
            let bytes: Vec<u8> = self.client.input.drain(..length).collect();
            self.left -= length as u64;
            self.codec.push(&bytes).unwrap();
        }
    }

    pub fn echo(&mut self, payload: &[u8]) {
        self.send(payload);
        assert!(self.recv().is_some_and(|answer| answer == payload));
    }
}
