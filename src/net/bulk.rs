//! Bytes that nobody has to look at, on their way from one socket to another: a
//! large lot goes through a pipe, by splice(2), and never comes to user space. Small
//! ones are cheaper to copy, which the relay does in its own way.

use std::io;
use std::task::{Context, Poll, ready};

use super::pipes::Pipe;
use super::socket::Socket;

/// Bytes that one splice moves at most.
const SPLICE_LEN: usize = 256 * 1024;

/// A read of less is cheaper than a splice of it.
const WORTH_SPLICING: usize = 16 * 1024;

/// How the bytes of a direction come, judged by the last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Course {
    #[default]
    Few,
    /// Enough to be worth a pipe.
    Many,
    /// The sender has ended.
    Ended,
    /// The receiver was told so.
    Done,
}

impl Course {
    fn after(length: usize) -> Self {
        match length {
            0 => Self::Ended,
            WORTH_SPLICING.. => Self::Many,
            _ => Self::Few,
        }
    }
}

/// One direction of a relay: how its next bytes are read, and those that are in a pipe.
/// The pipe is borrowed for as long as much comes, or something is in it.
#[derive(Default)]
pub(crate) struct Bulk {
    pipe: Option<Pipe>,
    course: Course,
}

impl Bulk {
    /// Bytes that were read and not handed on.
    pub(crate) fn len(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So much was read, into the pipe or by copying; 0 is the end.
    pub(crate) fn came(&mut self, length: usize) {
        self.course = Course::after(length);
    }

    /// The sender will send no more.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.course, Course::Ended | Course::Done)
    }

    /// The receiver was told that it has ended.
    pub(crate) fn told_end(&mut self) {
        self.course = Course::Done;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.course == Course::Done
    }

    /// The next bytes are worth a pipe, and none is here.
    pub(crate) fn wants_pipe(&self) -> bool {
        self.course == Course::Many && self.pipe.is_none()
    }

    /// There was one, or not: then what comes is copied.
    pub(crate) fn lend(&mut self, pipe: Option<Pipe>) {
        self.pipe = pipe;
    }

    pub(crate) fn has_pipe(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads at most `most` bytes into the pipe, which is empty: how many, or `None`
    /// if they are to be copied. Without bytes the pipe goes back to the others.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        let Some(mut pipe) = self.pipe.take() else {
            return Poll::Ready(Ok(None));
        };
        let length = ready!(pipe.poll_fill(cx, from, SPLICE_LEN.min(most)))?;
        if length.is_some_and(|length| length > 0) {
            self.pipe = Some(pipe);
        }
        Poll::Ready(Ok(length))
    }

    /// Hands on at most `most` bytes of the pipe: 0 when `to` takes none,
    /// `None` when the kernel refuses: [`take_out`](Self::take_out) some.
    pub(crate) fn try_drain(&mut self, to: &Socket, most: usize) -> io::Result<Option<usize>> {
        match &mut self.pipe {
            Some(pipe) => pipe.try_drain(to, SPLICE_LEN.min(most)),
            None => Ok(Some(0)),
        }
    }

    /// Takes bytes out of the pipe by copying them.
    pub(crate) fn take_out(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(space))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::net::test_help::pair;
    use crate::net::{Executor, PipePool, Reactor, fill_random};

    async fn fill(bulk: &mut Bulk, from: &Socket, most: usize) -> Option<usize> {
        poll_fn(|cx| bulk.poll_fill(cx, from, most)).await.unwrap()
    }

    /// `use_sockets` gets the sender, where it arrives, whence it goes on, and the
    /// receiver.
    fn between(use_sockets: impl AsyncFnOnce([&Socket; 4])) {
        let reactor = Reactor::new().unwrap();
        reactor.block_on(&Executor::default(), async {
            let ((sender, from), (to, receiver)) = (pair(&reactor).await, pair(&reactor).await);
            use_sockets([&sender, &from, &to, &receiver]).await;
        });
    }

    #[test]
    fn what_came_last_decides_how_the_next_comes() {
        let pipes = PipePool::new(1);
        let mut bulk = Bulk::default();
        assert!(!bulk.wants_pipe());
        for (length, is_large) in [(1, false), (WORTH_SPLICING, true), (0, false)] {
            bulk.came(length);
            assert_eq!(bulk.wants_pipe(), is_large);
            bulk.came(WORTH_SPLICING - 1);
            assert!(!bulk.wants_pipe());
        }
        bulk.came(0);
        assert!(bulk.has_ended() && !bulk.is_done());
        bulk.told_end();
        assert!(bulk.has_ended() && bulk.is_done() && !bulk.wants_pipe());
        bulk.came(usize::MAX);
        bulk.lend(None);
        assert!(bulk.wants_pipe() && !bulk.has_pipe());
        bulk.lend(pipes.take());
        assert!(!bulk.wants_pipe() && bulk.has_pipe() && bulk.is_empty());
    }

    #[test]
    fn what_is_asked_for_goes_through_and_the_pipe_goes_back() {
        between(async |[sender, from, to, receiver]| {
            let (pipes, mut bulk) = (PipePool::new(1), Bulk::default());
            let mut data = vec![0; 100_000];
            fill_random(&mut data);
            sender.write_all(&data).await.unwrap();
            sender.shutdown_write().unwrap();
            let mut received = vec![0; data.len()];
            let mut total = 0;
            while total < data.len() {
                bulk.lend(pipes.take());
                let length = fill(&mut bulk, from, 30_000).await.unwrap();
                assert!((1..=30_000).contains(&length) && bulk.len() == length);
                let first = bulk.try_drain(to, length / 2).unwrap();
                assert_eq!(first, Some(length / 2));
                let second = bulk.try_drain(to, usize::MAX).unwrap();
                assert_eq!(second, Some(length - length / 2));
                assert!(bulk.is_empty());
                let place = &mut received[total..total + length];
                receiver.read_exact(place).await.unwrap();
                total += length;
                bulk.lend(None);
            }
            assert!(received == data);
            bulk.lend(pipes.take());
            assert_eq!(fill(&mut bulk, from, 30_000).await, Some(0));
            assert!(!bulk.has_pipe() && pipes.take().is_some());
        });
    }

    #[test]
    fn who_waits_holds_no_pipe() {
        between(async |[_sender, from, ..]| {
            let (pipes, mut bulk) = (PipePool::new(1), Bulk::default());
            bulk.lend(pipes.take());
            let filling = smol::future::poll_once(fill(&mut bulk, from, 1));
            assert!(filling.await.is_none());
            assert!(!bulk.has_pipe() && pipes.take().is_some());
            assert_eq!(fill(&mut bulk, from, 1).await, None);
        });
    }

    #[test]
    fn what_cannot_leave_the_pipe_is_copied() {
        between(async |[sender, from, to, _receiver]| {
            let (pipes, mut bulk) = (PipePool::new(1), Bulk::default());
            sender.write_all(b"all of it").await.unwrap();
            bulk.lend(pipes.take());
            assert_eq!(fill(&mut bulk, from, usize::MAX).await, Some(9));
            pipes.refuse();
            assert_eq!(bulk.try_drain(to, usize::MAX).unwrap(), None);
            let mut space = [0; 6];
            assert_eq!(bulk.take_out(&mut space).unwrap(), 6);
            assert_eq!((&space, bulk.len()), (b"all of", 3));
            assert_eq!(bulk.take_out(&mut space).unwrap(), 3);
            assert_eq!((&space[..3], bulk.len()), (&b" it"[..], 0));
            assert_eq!(fill(&mut bulk, from, usize::MAX).await, None);
        });
    }
}
