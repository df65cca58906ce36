use std::cell::Cell;
#[cfg(feature = "tls")]
use std::cell::RefCell;
use std::io::{self, IoSlice};
#[cfg(feature = "tls")]
use std::rc::Rc;
#[cfg(feature = "tls")]
use std::task::Waker;
use std::task::{Context, Poll, ready};

use crate::net::Socket;
#[cfg(feature = "tls")]
use crate::tls::{self, TlsStream, Writer};

/// More parts than anybody writes at once.
const MAX_SLICES: usize = 8;

/// Records without data that are read in a row, before others have their turn.
#[cfg(feature = "tls")]
const MAX_EMPTY_READS: usize = 16;

/// What HTTP goes over. One reads, anybody may write.
pub(crate) struct Connection {
    socket: Socket,
    /// Our side has said its last.
    has_ended: Cell<bool>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// TLS whose handshake is done.
#[cfg(feature = "tls")]
struct Tls {
    stream: RefCell<TlsStream>,
    writer: Rc<RefCell<Writer>>,
    /// The other side has said its last.
    is_at_end: Cell<bool>,
}

impl Connection {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self {
            socket,
            has_ended: Cell::new(false),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// `None` while the handshake is not done.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(socket: Socket, stream: TlsStream) -> Option<Self> {
        let writer = stream.writer()?;
        Some(Self {
            socket,
            has_ended: Cell::new(false),
            tls: Some(Tls {
                stream: RefCell::new(stream),
                writer,
                is_at_end: Cell::new(false),
            }),
        })
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The fewest bytes of space for a read to get on.
    pub(crate) fn needed(&self) -> usize {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.stream.borrow().needed();
        }
        1
    }

    /// Reads once by `space`, at least [`needed`](Self::needed), and hands what came to `take`, which takes all of it and may
    /// write meanwhile, but not read. How many bytes: 0 at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.poll_read(cx, &self.socket, space, take);
        }
        let length = ready!(self.socket.poll_read(cx, space))?;
        if let Some(data) = space.get_mut(..length)
            && length > 0
        {
            take(data);
        }
        Poll::Ready(Ok(length))
    }

    /// Writes what is taken now of `slices`, at most eight: how many bytes. 0 while what
    /// was sealed before has not left, after which [`poll_writable`](Self::poll_writable)
    /// says when to try again.
    pub(crate) fn try_write(&self, slices: &[&[u8]]) -> io::Result<usize> {
        if self.has_ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let mut writer = tls.writer.borrow_mut();
            let written = writer.write(&self.socket, slices.iter().copied());
            return written.map_err(in_io);
        }
        match slices {
            [one] => self.socket.try_write(one),
            several => {
                let mut parts = [IoSlice::new(&[]); MAX_SLICES];
                let count = several.len().min(MAX_SLICES);
                for (part, slice) in parts.iter_mut().zip(several) {
                    *part = IoSlice::new(slice);
                }
                let parts = parts.get(..count).unwrap_or_default();
                self.socket.try_write_vectored(parts)
            }
        }
    }

    /// Ready when nothing sealed waits and the kernel takes more.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            while !tls.writer.borrow_mut().flush(&self.socket).map_err(in_io)? {
                ready!(self.socket.poll_writable(cx));
            }
        }
        self.socket.poll_writable(cx).map(Ok)
    }

    /// All that was written is with the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.writer.borrow().is_flushed();
        }
        true
    }

    /// Our side has said all it had to say; nothing can be written any more. What waits
    /// has to be flushed before. To who has said its last already nothing is said by TLS,
    /// as nginx does it, and we with clients of fake TLS.
    pub(crate) fn shut_down_write(&self) {
        if self.has_ended.replace(true) {
            return;
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls
            && !tls.is_at_end.get()
            && !has_ended(&self.socket)
        {
            let _ = tls.writer.borrow_mut().close(&self.socket);
        }
        let _ = self.socket.shutdown_write();
    }
}

/// The other side has said its last, and all of it is read.
#[cfg(feature = "tls")]
fn has_ended(socket: &Socket) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    socket.poll_hung_up(&mut nobody).is_ready() && socket.is_at_end()
}

#[cfg(feature = "tls")]
impl Tls {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        socket: &Socket,
        space: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        for _ in 0..MAX_EMPTY_READS {
            if self.is_at_end.get() {
                return Poll::Ready(Ok(0));
            }
            let mut length = 0;
            let mut stream = self.stream.borrow_mut();
            if stream.needed() > space.len() {
                // The record that has begun is longer: the next read has more space.
                break;
            }
            let read = stream.poll_read::<tls::Error>(cx, socket, space, &mut |data| {
                length += data.len();
                take(data);
                Ok(())
            });
            match ready!(read) {
                Ok(()) => {}
                Err(tls::Error::Closed) => self.is_at_end.set(true),
                Err(error) => return Poll::Ready(Err(in_io(error))),
            }
            if length > 0 {
                return Poll::Ready(Ok(length));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(feature = "tls")]
fn in_io(error: tls::Error) -> io::Error {
    match error {
        tls::Error::Broken(error) => error,
        tls::Error::Closed => io::ErrorKind::ConnectionAborted.into(),
        tls::Error::Tls(why) | tls::Error::Denied(why) => {
            io::Error::new(io::ErrorKind::InvalidData, why)
        }
    }
}
