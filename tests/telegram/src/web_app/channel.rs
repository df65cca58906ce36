//! TCP, or TLS over it, for one reader and several writers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use smol::Async;
use smol::io::AsyncWriteExt;

use super::options::Options;
use crate::shared::lock;
use crate::socket::{connect_from, read_some};

/// Clear bytes that become records at a time.
const PART: usize = 64 << 10;

pub struct Channel {
    stream: Async<TcpStream>,
    tls: Option<Mutex<ClientConnection>>,
    /// What has come by TLS and was not read.
    clear: Mutex<Vec<u8>>,
    /// Whose bytes go to the socket at present.
    turn: smol::lock::Mutex<()>,
}

impl Channel {
    pub async fn open(options: &Options) -> io::Result<Self> {
        let channel = Self::begin(options).await?;
        channel.shake_hands().await?;
        Ok(channel)
    }

    /// Over TLS what has got the other side's first word, and says no more.
    pub async fn half_shaken(options: &Options) -> io::Result<Async<TcpStream>> {
        let channel = Self::begin(options).await?;
        channel.flush().await?;
        match read_some(&channel.stream).await?.is_empty() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(channel.stream),
        }
    }

    async fn begin(options: &Options) -> io::Result<Self> {
        let stream = match options.source {
            None => Async::<TcpStream>::connect(options.door).await?,
            Some(source) => connect_from(source, options.door).await?,
        };
        stream.get_ref().set_nodelay(true)?;
        let mut channel = Self {
            stream,
            tls: None,
            clear: Mutex::default(),
            turn: smol::lock::Mutex::new(()),
        };
        if let Some(config) = &options.tls {
            let name = ServerName::try_from(options.host.clone()).map_err(io::Error::other)?;
            let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
            tls.set_buffer_limit(None);
            channel.tls = Some(Mutex::new(tls));
        }
        Ok(channel)
    }

    async fn shake_hands(&self) -> io::Result<()> {
        self.flush().await?;
        while self.tls().is_some_and(|tls| lock(tls).is_handshaking()) {
            let bytes = read_some(&self.stream).await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.take(&bytes)?;
            self.flush().await?;
        }
        Ok(())
    }

    /// The next bytes; none at the end, in good manners or not.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let Some(tls) = self.tls() else {
            return read_some(&self.stream).await;
        };
        loop {
            let clear = std::mem::take(&mut *lock(&self.clear));
            if !clear.is_empty() {
                return Ok(clear);
            }
            match lock(tls).reader().read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It has said its last.
                _ => return Ok(clear),
            }
            let bytes = read_some(&self.stream).await?;
            if bytes.is_empty() {
                return Ok(bytes);
            }
            self.take(&bytes)?;
            self.flush().await?;
        }
    }

    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let Some(tls) = self.tls() else {
            return (&self.stream).write_all(bytes).await;
        };
        for part in bytes.chunks(PART) {
            lock(tls).writer().write_all(part)?;
            self.send_records(tls).await?;
        }
        Ok(())
    }

    fn tls(&self) -> Option<&Mutex<ClientConnection>> {
        self.tls.as_ref()
    }

    fn take(&self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = self.tls() else { return Ok(()) };
        let mut tls = lock(tls);
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            // It holds no more than a record or two. An end is seen by the next read.
            let _ = tls.reader().read_to_end(&mut lock(&self.clear));
        }
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        let Some(tls) = self.tls() else { return Ok(()) };
        let _turn = self.turn.lock().await;
        self.send_records(tls).await
    }

    async fn send_records(&self, tls: &Mutex<ClientConnection>) -> io::Result<()> {
        let mut records = Vec::new();
        {
            let mut tls = lock(tls);
            while tls.wants_write() {
                tls.write_tls(&mut records)?;
            }
        }
        (&self.stream).write_all(&records).await
    }

    /// Ends it at once; who reads or writes it sees that.
    pub fn cut(&self) {
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Both);
    }
}
