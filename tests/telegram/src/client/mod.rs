//! A Telegram client: every transport, every disguise, and the bad manners
//! that a proxy meets.

mod options;
mod replay;

pub use options::{Kind, Options};
pub use replay::Capture;

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::RangeTo;
use std::time::Duration;

use smol::Async;
use smol::io::AsyncWriteExt;

use crate::obfuscated::{self, Streams};
use crate::payload;
use crate::secret::KEY;
use crate::socket::{connect_from, read_at_most, read_some};
use crate::tls::{self, Hello, HelloOptions};
use crate::transport::{Side, Transport, Unit};
use crate::wait::within;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    Closed,
}

pub struct Client {
    stream: Async<TcpStream>,
    local: SocketAddr,
    transport: Transport,
    streams: Streams,
    in_records: bool,
    /// Sent with the next packet: the stream's header, and before it in
    /// records a ChangeCipherSpec.
    unsent: Vec<u8>,
    /// Bytes of records that are not whole yet.
    sealed: Vec<u8>,
    /// Decrypted bytes from `taken` on.
    clear: Vec<u8>,
    taken: usize,
    /// Bytes per read, and the pause before each.
    slowness: Option<(usize, Duration)>,
}

impl Client {
    /// Connects; a fake-TLS client also waits for the server's flight and
    /// checks it. The obfuscated header goes out with the first packet, as
    /// real clients do.
    pub async fn connect(options: &Options) -> io::Result<Self> {
        let stream = match options.source {
            None => Async::<TcpStream>::connect(options.proxy).await?,
            Some(source) => connect_from(source, options.proxy).await?,
        };
        stream.get_ref().set_nodelay(true)?;
        (&stream).write_all(&options.greeting).await?;
        let (header, streams) =
            obfuscated::initiate(options.transport, options.dc, options.key.as_ref());
        let mut client = Self::over(stream, options.transport, streams)?;
        client.unsent = header.to_vec();
        if let Some(hello) = &options.hello {
            client
                .shake_hands(hello, &options.key.unwrap_or(KEY))
                .await?;
        }
        Ok(client)
    }

    pub(crate) fn over(
        stream: Async<TcpStream>,
        transport: Transport,
        streams: Streams,
    ) -> io::Result<Self> {
        Ok(Self {
            local: stream.get_ref().local_addr()?,
            stream,
            transport,
            streams,
            in_records: false,
            unsent: Vec::new(),
            sealed: Vec::new(),
            clear: Vec::new(),
            taken: 0,
            slowness: None,
        })
    }

    async fn shake_hands(&mut self, options: &HelloOptions, key: &[u8; 16]) -> io::Result<()> {
        let hello = Hello::new(options, key);
        match options.segment {
            None => (&self.stream).write_all(&hello.bytes).await?,
            Some(size) => {
                for part in hello.bytes.chunks(size.max(1)) {
                    (&self.stream).write_all(part).await?;
                    smol::Timer::after(Duration::from_millis(1)).await;
                }
            }
        }
        self.take_flight(&hello, key).await?;
        (&self.stream)
            .write_all(&tls::CHANGE_CIPHER_SPEC_RECORD)
            .await
    }

    /// Waits for the server's flight and checks it; records follow.
    pub(crate) async fn take_flight(&mut self, hello: &Hello, key: &[u8; 16]) -> io::Result<()> {
        let end = loop {
            match tls::flight_len(&self.sealed) {
                Some(end) => break end,
                None => {
                    let bytes = self.read().await?;
                    self.sealed.extend_from_slice(&bytes);
                }
            }
        };
        let flight: Vec<u8> = self.sealed.drain(..end).collect();
        hello.verify(&flight, key).map_err(invalid)?;
        self.in_records = true;
        Ok(())
    }

    /// The address from which this client came.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends one packet; `payload` is a multiple of 4 bytes.
    pub async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_packet(payload, false).await
    }

    /// Sends one packet and asks for a quick-ack of it.
    pub async fn send_for_quick_ack(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_packet(payload, true).await
    }

    async fn send_packet(&mut self, payload: &[u8], quick_ack: bool) -> io::Result<()> {
        let packet = self.transport.frame(payload, quick_ack, 3);
        let bytes = self.seal(packet);
        (&self.stream).write_all(&bytes).await
    }

    /// Sends one packet `size` bytes at a time.
    pub async fn send_in_pieces(&mut self, payload: &[u8], size: usize) -> io::Result<()> {
        let packet = self.transport.frame(payload, false, 3);
        let bytes = self.seal(packet);
        for piece in bytes.chunks(size.max(1)) {
            (&self.stream).write_all(piece).await?;
            smol::future::yield_now().await;
        }
        Ok(())
    }

    /// Sends the first `keep` bytes of a packet, never the rest.
    pub async fn send_part(&mut self, payload: &[u8], keep: usize) -> io::Result<()> {
        let mut packet = self.transport.frame(payload, false, 0);
        packet.truncate(keep);
        let bytes = self.seal(packet);
        (&self.stream).write_all(&bytes).await
    }

    /// Sends bytes inside the obfuscated stream without framing them.
    pub async fn send_unframed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.seal(bytes.to_vec());
        (&self.stream).write_all(&bytes).await
    }

    /// Sends bytes around the obfuscated stream.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes).await
    }

    fn seal(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.streams.from_initiator.apply(&mut packet);
        let mut bytes = std::mem::take(&mut self.unsent);
        bytes.append(&mut packet);
        if !self.in_records {
            return bytes;
        }
        let mut sealed = Vec::with_capacity(bytes.len() + 64);
        for part in bytes.chunks(tls::MAX_RECORD) {
            let header = tls::record_header(tls::APPLICATION_DATA, 3, part.len());
            sealed.extend_from_slice(&header);
            sealed.extend_from_slice(part);
        }
        sealed
    }

    /// The next packet or quick-ack; `UnexpectedEof` when the proxy closed.
    pub async fn recv(&mut self) -> io::Result<Unit> {
        loop {
            let input = &self.clear[self.taken..];
            match self.transport.parse(input, Side::Client).map_err(invalid)? {
                Some((unit, used)) => {
                    self.taken += used;
                    if self.taken == self.clear.len() {
                        self.taken = 0;
                        self.clear = Vec::new();
                    }
                    return Ok(unit);
                }
                None => {
                    self.clear.drain(..self.taken);
                    self.taken = 0;
                }
            }
            let bytes = self.read().await?;
            self.unseal(&bytes)?;
        }
    }

    /// The next packet; anything else is an error.
    pub async fn recv_packet(&mut self) -> io::Result<Vec<u8>> {
        match self.recv().await? {
            Unit::Packet { payload, .. } => Ok(payload),
            Unit::QuickAck(token) => Err(invalid(format!("an unexpected quick-ack {token:02x?}"))),
        }
    }

    /// Sends `payload` and checks that it comes back.
    pub async fn echo(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send(payload).await?;
        let answer = self.recv_packet().await?;
        if answer != payload {
            return Err(invalid(format!(
                "sent {} bytes, another {} came back",
                payload.len(),
                answer.len()
            )));
        }
        Ok(())
    }

    /// Sends `payload` and tells what became of it: its echo, or the end of
    /// the connection. Anything else, silence above all, is a panic.
    pub async fn fate_of(&mut self, payload: &[u8]) -> Fate {
        match within("an answer or a close", self.echo(payload)).await {
            Ok(()) => Fate::Answered,
            Err(error) if is_close(&error) => Fate::Closed,
            Err(error) => panic!("neither answered nor closed: {error}"),
        }
    }

    /// Sends `payload` for a quick-ack and checks that it comes back; whether the
    /// quick-ack came before it.
    pub async fn echo_for_quick_ack(&mut self, payload: &[u8]) -> io::Result<bool> {
        self.send_for_quick_ack(payload).await?;
        let token = Unit::QuickAck(payload::quick_ack_token(payload));
        let mut next = self.recv().await?;
        let is_acknowledged = next == token;
        if is_acknowledged {
            next = self.recv().await?;
        }
        match next {
            Unit::Packet {
                payload: answer, ..
            } if answer == payload => Ok(is_acknowledged),
            _ => Err(invalid("another answer, or quick-ack, came".to_owned())),
        }
    }

    /// Asks for `total` bytes in answers of `size` and checks each of them.
    pub async fn download(&mut self, total: u32, size: u32) -> io::Result<()> {
        self.send(&payload::Command::SendMe { total, size }.payload())
            .await?;
        self.take_download(total, size).await
    }

    /// The receiving half of [`download`](Self::download).
    pub async fn take_download(&mut self, total: u32, size: u32) -> io::Result<()> {
        for index in 0..total.div_ceil(size) {
            let answer = self.recv_packet().await?;
            if answer != payload::streamed(index, size as usize) {
                return Err(invalid(format!("answer {index} is damaged")));
            }
        }
        Ok(())
    }

    /// The bare connection, for a reader that only counts bytes.
    pub fn into_stream(self) -> Async<TcpStream> {
        self.stream
    }

    /// Reads until the proxy closes; the packets and quick-acks that came.
    pub async fn until_closed(&mut self) -> io::Result<Vec<Unit>> {
        let mut units = Vec::new();
        loop {
            match self.recv().await {
                Ok(unit) => units.push(unit),
                Err(error) if is_close(&error) => return Ok(units),
                Err(error) => return Err(error),
            }
        }
    }

    /// From now on reads `most` bytes at a time, with a pause before each.
    pub fn read_at_most(&mut self, most: usize, pause: Duration) {
        self.slowness = Some((most, pause));
    }

    /// Sends our FIN; what the proxy still says can be read.
    pub fn finish_sending(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    fn unseal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.in_records {
            let start = self.clear.len();
            self.clear.extend_from_slice(bytes);
            self.streams.to_initiator.apply(&mut self.clear[start..]);
            return Ok(());
        }
        self.sealed.extend_from_slice(bytes);
        let mut done = 0;
        while let Some((kind, body, used)) = tls::split_record(&self.sealed[done..]) {
            if kind != tls::APPLICATION_DATA || body.len() > tls::FULL_RECORD {
                return Err(invalid(format!(
                    "a record {kind:02x} of {} bytes",
                    body.len()
                )));
            }
            let start = self.clear.len();
            self.clear.extend_from_slice(body);
            self.streams.to_initiator.apply(&mut self.clear[start..]);
            // Only what is short itself may have a record that no server makes.
            let is_whole = |clear| self.is_whole(clear);
            if body.len() < tls::SEAL && !(is_whole(..start)? && is_whole(..self.clear.len())?) {
                return Err(invalid(format!(
                    "a record of {} bytes of a packet",
                    body.len()
                )));
            }
            done += used;
        }
        self.sealed.drain(..done);
        Ok(())
    }

    /// Whether what came up to there ends with a packet.
    fn is_whole(&self, clear: RangeTo<usize>) -> io::Result<bool> {
        let mut rest = &self.clear[clear][self.taken..];
        while let Some((_, used)) = self.transport.parse(rest, Side::Client).map_err(invalid)? {
            rest = &rest[used..];
        }
        Ok(rest.is_empty())
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let bytes = match self.slowness {
            None => read_some(&self.stream).await?,
            Some((most, pause)) => {
                smol::Timer::after(pause).await;
                read_at_most(&self.stream, most).await?
            }
        };
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}

/// Whether the error is the proxy's ending the connection.
pub fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

pub(crate) fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
