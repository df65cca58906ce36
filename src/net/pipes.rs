use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::socket::Socket;

/// Bytes that one pipe is asked to hold.
const PIPE_LEN: usize = 256 * 1024;

/// Empty pipes kept for reuse.
const SPARE_PIPES: usize = 4;

/// Pipes for splice(2). A relay borrows one for the bytes that it moves and
/// keeps it only while its peer does not take them all.
pub struct PipePool {
    spare: RefCell<Vec<(OwnedFd, OwnedFd)>>,
    capacity: usize,
    in_use: std::cell::Cell<usize>,
}

impl PipePool {
    /// At most `capacity` pipes at a time.
    pub fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            spare: RefCell::default(),
            capacity,
            in_use: std::cell::Cell::new(0),
        })
    }

    /// An empty pipe, or `None` when all are in use or the kernel has none.
    pub fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.in_use.get() >= self.capacity {
            return None;
        }
        let ends = match self.spare.borrow_mut().pop() {
            Some(ends) => ends,
            None => new_pipe().ok()?,
        };
        self.in_use.set(self.in_use.get() + 1);
        Some(Pipe {
            ends: Some(ends),
            length: 0,
            pool: self.clone(),
        })
    }
}

fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    // An unprivileged user may be over its pipe quota: the default size works.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_LEN);
    Ok((reader, writer))
}

/// A pipe between two sockets: what goes in is not copied through user space.
pub struct Pipe {
    /// `None` only while dropping.
    ends: Option<(OwnedFd, OwnedFd)>,
    length: usize,
    pool: Rc<PipePool>,
}

impl Pipe {
    /// Bytes inside.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Moves at most `limit` bytes from `socket` into this empty pipe; 0 is
    /// the end of the stream.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let Some((_, writer)) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(socket.poll_readable(cx));
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match rustix::pipe::splice(socket, None, writer, None, limit, flags) {
                Ok(length) => {
                    self.length += length;
                    return Poll::Ready(Ok(length));
                }
                Err(Errno::AGAIN) => socket.not_readable(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Moves at most `limit` bytes out to `socket`: 0 when it takes none now.
    pub fn try_drain(&mut self, socket: &Socket, limit: usize, more: bool) -> io::Result<usize> {
        let Some((reader, _)) = &self.ends else {
            return Ok(0);
        };
        let limit = limit.min(self.length);
        let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        if more {
            flags |= SpliceFlags::MORE;
        }
        let moved = socket.try_send(0, || {
            rustix::pipe::splice(reader, None, socket, None, limit, flags)
        })?;
        if moved == 0 && limit > 0 {
            socket.not_writable();
        }
        self.length -= moved.min(self.length);
        Ok(moved)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pool.in_use.set(self.pool.in_use.get() - 1);
        let mut spare = self.pool.spare.borrow_mut();
        // A pipe with bytes left in it belongs to a connection that ended.
        if self.length == 0 && spare.len() < SPARE_PIPES {
            spare.extend(self.ends.take());
        }
    }
}
