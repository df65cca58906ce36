//! A Telegram client: every transport, every disguise, and the bad manners
//! that a proxy meets.

mod codec;
mod options;
mod replay;

pub use codec::Codec;
pub use options::{Kind, Options};
pub use replay::Capture;

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use smol::Async;
use smol::io::AsyncWriteExt;

use crate::crypto::{fill_random, random_below};
use crate::payload;
use crate::secret::KEY;
use crate::socket::{connect_from, read_at_most, read_some};
use crate::tls::{self, Hello, HelloOptions};
use crate::transport::Unit;
use crate::wait::within;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    Closed,
}

pub struct Client {
    stream: Async<TcpStream>,
    local: SocketAddr,
    codec: Codec,
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
        let codec = Codec::new(options.transport, options.dc, options.key.as_ref());
        let mut client = Self::over(stream, codec)?;
        if let Some(hello) = &options.hello {
            client
                .shake_hands(hello, &options.key.unwrap_or(KEY))
                .await?;
        }
        Ok(client)
    }

    pub(crate) fn over(stream: Async<TcpStream>, codec: Codec) -> io::Result<Self> {
        Ok(Self {
            local: stream.get_ref().local_addr()?,
            stream,
            codec,
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
        let mut flight = Vec::new();
        let end = loop {
            match tls::flight_len(&flight) {
                Some(end) => break end,
                None => flight.append(&mut self.read().await?),
            }
        };
        let rest = flight.split_off(end);
        hello.verify(&flight, key).map_err(invalid)?;
        self.codec.begin_records();
        self.codec.push(&rest).map_err(invalid)
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
        let bytes = self.codec.packet(payload, quick_ack, &padding());
        (&self.stream).write_all(&bytes).await
    }

    /// Sends one packet `size` bytes at a time.
    pub async fn send_in_pieces(&mut self, payload: &[u8], size: usize) -> io::Result<()> {
        let bytes = self.codec.packet(payload, false, &padding());
        for piece in bytes.chunks(size.max(1)) {
            (&self.stream).write_all(piece).await?;
            smol::future::yield_now().await;
        }
        Ok(())
    }

    /// Sends the first `keep` bytes of a packet, never the rest.
    pub async fn send_part(&mut self, payload: &[u8], keep: usize) -> io::Result<()> {
        let mut packet = self.codec.transport().frame_with(payload, false, &[]);
        packet.truncate(keep);
        let bytes = self.codec.seal(packet);
        (&self.stream).write_all(&bytes).await
    }

    /// Sends bytes inside the obfuscated stream without framing them.
    pub async fn send_unframed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.codec.seal(bytes.to_vec());
        (&self.stream).write_all(&bytes).await
    }

    /// Sends bytes around the obfuscated stream.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes).await
    }

    /// The next packet or quick-ack; `UnexpectedEof` when the proxy closed.
    pub async fn recv(&mut self) -> io::Result<Unit> {
        loop {
            if let Some(unit) = self.codec.next_unit().map_err(invalid)? {
                return Ok(unit);
            }
            let bytes = self.read().await?;
            self.codec.push(&bytes).map_err(invalid)?;
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

/// Up to 3 random bytes.
fn padding() -> Vec<u8> {
    let mut padding = vec![0; random_below(4)];
    fill_random(&mut padding);
    padding
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
