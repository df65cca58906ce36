//! The fake's sockets, the same to its tasks wherever they run.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use smol::Async;

use super::Host;
use super::driven::{Direction, Driven};
use crate::socket::{SCRATCH_LEN, read_now};

/// A socket that never blocks; it belongs to one task.
pub(crate) struct Hosted<T: AsFd>(Kind<T>);

pub(crate) type Stream = Hosted<TcpStream>;
pub(crate) type Listener = Hosted<TcpListener>;

enum Kind<T: AsFd> {
    Threads(Async<T>),
    Driven(Watched<T>),
}

struct Watched<T: AsFd> {
    socket: T,
    number: u64,
    driven: Arc<Driven>,
}

impl<T: AsFd> Drop for Watched<T> {
    fn drop(&mut self) {
        self.driven.deregister(&self.socket, self.number);
    }
}

impl Stream {
    pub fn new(host: &Host, stream: TcpStream) -> io::Result<Self> {
        Ok(Self(match host {
            Host::Threads(_) => Kind::Threads(Async::new(stream)?),
            Host::Driven(driven) => Kind::Driven(Watched::new(driven, stream)?),
        }))
    }

    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(Direction::Read, |mut stream| stream.read(buffer))
            .await
    }

    /// The next bytes that the peer sent; none at its end of stream.
    pub async fn read_some(&self) -> io::Result<Vec<u8>> {
        self.attempt(Direction::Read, |stream| read_now(stream, SCRATCH_LEN))
            .await
    }

    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let attempt = self.attempt(Direction::Write, |mut stream| stream.write(bytes));
            match attempt.await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Reads and forgets until the peer ends its stream.
    pub async fn drain(&self) {
        while self.read_some().await.is_ok_and(|bytes| !bytes.is_empty()) {}
    }
}

impl Listener {
    pub fn new(host: &Host, listener: TcpListener) -> io::Result<Self> {
        Ok(Self(match host {
            Host::Threads(_) => Kind::Threads(Async::new(listener)?),
            Host::Driven(driven) => Kind::Driven(Watched::new(driven, listener)?),
        }))
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.attempt(Direction::Read, TcpListener::accept).await?;
        Ok(stream)
    }
}

impl<T: AsFd> Hosted<T> {
    pub fn get_ref(&self) -> &T {
        match &self.0 {
            Kind::Threads(socket) => socket.get_ref(),
            Kind::Driven(watched) => &watched.socket,
        }
    }

    /// Tries until the socket can.
    async fn attempt<'a, R>(
        &'a self,
        direction: Direction,
        mut operate: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            // Before the attempt: what comes behind it is not missed.
            let seen = match &self.0 {
                Kind::Threads(_) => 0,
                Kind::Driven(watched) => watched.driven.edges(watched.number, direction),
            };
            match operate(self.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => return outcome,
            }
            match (&self.0, direction) {
                (Kind::Threads(socket), Direction::Read) => socket.readable().await?,
                (Kind::Threads(socket), Direction::Write) => socket.writable().await?,
                (Kind::Driven(watched), _) => watched.edge(direction, seen).await,
            }
        }
    }
}

impl<T: AsFd> Watched<T> {
    fn new(driven: &Arc<Driven>, socket: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            number: driven.register(&socket)?,
            driven: driven.clone(),
            socket,
        })
    }

    async fn edge(&self, direction: Direction, seen: u64) {
        poll_fn(|cx| self.driven.poll_edge(self.number, direction, seen, cx)).await;
    }
}
