//! TLS over a socket of the fake's, for one reader and several writers.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};

use super::Inner;
use super::manners::{Manners, Tls};
use crate::host::Stream;
use crate::shared::lock;
use crate::socket;

/// The hello of a client, once it is whole.
pub(super) async fn hello(stream: &Stream) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    loop {
        let bytes = stream.read_some().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A client says no more before it is answered.
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::other(error)),
        }
    }
}

pub(super) struct Channel {
    front: Arc<Inner>,
    stream: Stream,
    tls: Mutex<ServerConnection>,
    /// What came with the end of the handshake.
    early: Mutex<Vec<u8>>,
    /// Whose records go to the socket at present.
    turn: smol::lock::Mutex<()>,
    pace: Option<(usize, Duration)>,
    manners: Tls,
}

impl Channel {
    /// Finishes the handshake that the hello began.
    pub async fn accept(
        front: Arc<Inner>,
        stream: Stream,
        accepted: Accepted,
        config: Arc<ServerConfig>,
        manners: &Manners,
    ) -> io::Result<Self> {
        let mut tls = match accepted.into_connection(config) {
            Ok(tls) => tls,
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write(&mut bytes)?;
                stream.write_all(&bytes).await?;
                return Err(io::Error::other(error));
            }
        };
        tls.set_buffer_limit(None);
        let channel = Self {
            front,
            stream,
            tls: Mutex::new(tls),
            early: Mutex::default(),
            turn: smol::lock::Mutex::new(()),
            pace: manners.pace,
            manners: manners.tls.clone(),
        };
        channel.send().await?;
        while lock(&channel.tls).is_handshaking() {
            let bytes = channel.stream.read_some().await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let early = channel.open(&bytes);
            channel.send().await?;
            lock(&channel.early).append(&mut early?);
        }
        channel.send().await?;
        Ok(channel)
    }

    /// The next bytes inside; none at the end, in good manners or not.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let early = std::mem::take(&mut *lock(&self.early));
        if !early.is_empty() {
            return Ok(early);
        }
        loop {
            let bytes = self.stream.read_some().await?;
            if bytes.is_empty() {
                return Ok(bytes);
            }
            let clear = self.open(&bytes)?;
            if !clear.is_empty() {
                return Ok(clear);
            }
            if lock(&self.tls).wants_write() {
                self.send().await?;
            }
        }
    }

    fn open(&self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (mut tls, mut clear) = (lock(&self.tls), Vec::new());
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let start = clear.len();
            clear.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut clear[start..])?;
        }
        Ok(clear)
    }

    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        {
            let mut tls = lock(&self.tls);
            for part in bytes.chunks(self.manners.record.unwrap_or(usize::MAX)) {
                tls.writer().write_all(part)?;
            }
            for _ in 0..self.manners.key_updates {
                tls.refresh_traffic_keys().map_err(io::Error::other)?;
            }
        }
        self.put().await
    }

    async fn send(&self) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        self.put().await
    }

    async fn put(&self) -> io::Result<()> {
        let mut sealed = Vec::new();
        {
            let mut tls = lock(&self.tls);
            while tls.wants_write() {
                tls.write_tls(&mut sealed)?;
            }
        }
        let length = sealed.len() as u64;
        self.front.count(|tally| tally.sealed += length);
        let Some((size, pause)) = self.pace else {
            return self.stream.write_all(&sealed).await;
        };
        for piece in sealed.chunks(size.max(1)) {
            self.stream.write_all(piece).await?;
            self.front.shared.host.sleep(pause).await;
        }
        Ok(())
    }

    /// Ends it well as TLS does.
    pub async fn finish(&self) {
        lock(&self.tls).send_close_notify();
        let _ = self.send().await;
        self.end();
    }

    /// FIN, without a word in TLS.
    pub fn end(&self) {
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// What the handshake came to.
    pub fn met(&self) -> (Option<ProtocolVersion>, Option<HandshakeKind>) {
        let tls = lock(&self.tls);
        (tls.protocol_version(), tls.handshake_kind())
    }

    /// The close that comes is a reset.
    pub fn reset(&self) {
        socket::reset_on_close(self.stream.get_ref());
    }

    /// Reads and forgets until the peer ends its stream.
    pub async fn drain(&self) {
        self.stream.drain().await;
    }
}
