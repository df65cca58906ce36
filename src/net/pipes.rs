use std::cell::{Cell, RefCell};
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
pub(crate) struct PipePool {
    spare: RefCell<Vec<(OwnedFd, OwnedFd)>>,
    capacity: usize,
    in_use: Cell<usize>,
    /// The kernel does not splice what we have: everybody copies.
    is_refused: Cell<bool>,
}

impl PipePool {
    /// At most `capacity` pipes at a time.
    pub(crate) fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            spare: RefCell::default(),
            capacity,
            in_use: Cell::new(0),
            is_refused: Cell::new(false),
        })
    }

    /// An empty pipe, or `None` when all are in use or the kernel has none.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.is_refused.get() || self.in_use.get() >= self.capacity {
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

    /// [`take`](Self::take), but none if half of them are in use.
    pub(crate) fn take_if_plenty(self: &Rc<Self>) -> Option<Pipe> {
        let is_plenty = self.in_use.get() < self.capacity.div_ceil(2);
        is_plenty.then(|| self.take()).flatten()
    }

    /// Whether `error` is that of a kernel, a filter of system calls or a kind
    /// of socket that has no splice(2). It is not asked again then.
    fn is_refusal(&self, error: Errno) -> bool {
        let refused = matches!(
            error,
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM
        );
        if refused && !self.is_refused.replace(true) {
            info!("no splice(2) here ({error}): relaying by copies");
        }
        refused
    }

    /// From now on it is as if the kernel had refused.
    #[cfg(test)]
    pub(crate) fn refuse(&self) {
        self.is_refused.set(true);
    }

    /// One whose first pipe is none: the kernel refuses to splice into it.
    #[cfg(test)]
    pub(super) fn without_pipes() -> Rc<Self> {
        let pool = Self::new(1);
        let null = || OwnedFd::from(std::fs::File::create("/dev/null").unwrap());
        pool.spare.borrow_mut().push((null(), null()));
        pool
    }
}

fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    // An unprivileged user may be over its pipe quota: the default size works.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_LEN);
    Ok((reader, writer))
}

/// A pipe between two sockets: what goes in is not copied through user space.
pub(crate) struct Pipe {
    /// `None` only while dropping.
    ends: Option<(OwnedFd, OwnedFd)>,
    length: usize,
    pool: Rc<PipePool>,
}

impl Pipe {
    /// Bytes inside.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Moves at most `limit` bytes from `socket` into this empty pipe; 0 is
    /// the end of the stream, `None` that the kernel refuses: copy instead.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        limit: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        let Some((_, writer)) = self.usable_ends() else {
            return Poll::Ready(Ok(None));
        };
        loop {
            ready!(socket.poll_readable(cx));
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match rustix::pipe::splice(socket, None, writer, None, limit, flags) {
                Ok(length) => {
                    self.length += length;
                    return Poll::Ready(Ok(Some(length)));
                }
                Err(Errno::AGAIN) => socket.not_readable(),
                Err(Errno::INTR) => {}
                Err(error) if self.pool.is_refusal(error) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Moves at most `limit` bytes out to `socket`: 0 when it takes none now,
    /// `None` when the kernel refuses: [`read`](Self::read) them instead.
    pub(crate) fn try_drain(&mut self, socket: &Socket, limit: usize) -> io::Result<Option<usize>> {
        let Some((reader, _)) = self.usable_ends() else {
            return Ok(None);
        };
        let limit = limit.min(self.length);
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let mut refused = false;
        let moved = socket.try_send(0, || {
            let moved = rustix::pipe::splice(reader, None, socket, None, limit, flags);
            moved.or_else(|error| {
                refused = self.pool.is_refusal(error);
                if refused { Ok(0) } else { Err(error) }
            })
        })?;
        if refused {
            return Ok(None);
        }
        if moved == 0 && limit > 0 {
            socket.not_writable();
        }
        self.length -= moved.min(self.length);
        Ok(Some(moved))
    }

    /// Takes bytes out by copying them.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some((reader, _)) = &self.ends else {
            return Ok(0);
        };
        let length = rustix::io::read(reader, space)?;
        self.length -= length.min(self.length);
        Ok(length)
    }

    fn usable_ends(&self) -> Option<&(OwnedFd, OwnedFd)> {
        self.ends.as_ref().filter(|_| !self.pool.is_refused.get())
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
