//! A relay's direction between sockets whose bytes are nobody's here: a stranger and
//! the site that we pass for. In bulk they go through a pipe ([`Bulk`]).

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::buffer_pool::BufferPool;
use super::bulk::Bulk;
use super::executor::READS_PER_TURN;
use super::memory::CHUNK_LEN;
use super::memory::Scratch;
use super::pipes::PipePool;
use super::rope::Rope;
use super::socket::Socket;

/// What it borrows while bytes are under way.
pub(crate) struct OneWayParts<'a> {
    pub(crate) pipes: &'a Rc<PipePool>,
    pub(crate) scratch: &'a Scratch,
    pub(crate) buffers: &'a Rc<BufferPool>,
}

/// One direction of a plain relay: bytes from one socket to another as they
/// come, and then their end. It reads no more than the receiver takes, so that
/// who takes nothing costs no buffers.
#[derive(Default)]
pub(crate) struct OneWay {
    /// Given at the start or stuck in a pipe, and not taken by the receiver so
    /// far.
    queue: Rope,
    /// Instead of it, while bytes come in bulk.
    bulk: Bulk,
    moved: u64,
}

impl OneWay {
    /// Begins with `first`, which was read before.
    pub(crate) fn starting_with(buffers: &Rc<BufferPool>, first: &[u8]) -> Self {
        let mut one_way = Self::default();
        one_way.queue.append_overdrawn(buffers, first);
        one_way
    }

    /// Everything is handed on, the end of the stream too.
    pub(crate) fn is_done(&self) -> bool {
        self.bulk.is_done()
    }

    /// Bytes that the receiver took.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Goes on as far as it can; the sockets wake the caller for more. An
    /// error is that of either connection: the relay is over.
    pub(crate) fn advance(
        &mut self,
        cx: &mut Context<'_>,
        parts: &OneWayParts<'_>,
        from: &Socket,
        to: &Socket,
    ) -> io::Result<()> {
        for _ in 0..READS_PER_TURN {
            if self.is_done() || self.hand_on(cx, parts, to)?.is_pending() {
                return Ok(());
            }
            if self.bulk.has_ended() {
                self.bulk.told_end();
                return to.shutdown_write();
            }
            if self.read(cx, parts, from, to)?.is_pending() {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Ready when nothing is under way.
    fn hand_on(
        &mut self,
        cx: &mut Context<'_>,
        parts: &OneWayParts<'_>,
        to: &Socket,
    ) -> io::Result<Poll<()>> {
        while !self.queue.is_empty() || !self.bulk.is_empty() {
            if to.poll_writable(cx).is_pending() {
                return Ok(Poll::Pending);
            }
            let written = match self.queue.is_empty() {
                true => self.bulk.try_drain(to, usize::MAX)?,
                false => Some(self.queue.write_to(to)?),
            };
            match written {
                Some(written) => self.moved += written as u64,
                None => {
                    let mut chunk = [0; CHUNK_LEN];
                    let length = self.bulk.take_out(&mut chunk)?;
                    let data = chunk.get(..length).unwrap_or_default();
                    self.queue.append_overdrawn(parts.buffers, data);
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        parts: &OneWayParts<'_>,
        from: &Socket,
        to: &Socket,
    ) -> io::Result<Poll<()>> {
        // It may have taken only some of the last read.
        if to.poll_writable(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        if self.bulk.wants_pipe() {
            self.bulk.lend(parts.pipes.take_if_plenty());
        }
        let spliced = match self.bulk.poll_fill(cx, from, usize::MAX) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(length) => length?,
        };
        let read = match spliced {
            Some(length) => Poll::Ready(length),
            None => self.copy(cx, parts, from, to)?,
        };
        let Poll::Ready(length) = read else {
            return Ok(Poll::Pending);
        };
        self.bulk.came(length);
        Ok(Poll::Ready(()))
    }

    /// What the receiver does not take stays where it is.
    fn copy(
        &mut self,
        cx: &mut Context<'_>,
        parts: &OneWayParts<'_>,
        from: &Socket,
        to: &Socket,
    ) -> io::Result<Poll<usize>> {
        let copied = parts.scratch.with(|buffer| {
            let length = match from.poll_peek(cx, buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(length) => length?,
            };
            let written = to.try_write(buffer.get(..length).unwrap_or_default())?;
            self.moved += written as u64;
            from.skip(buffer.get_mut(..written).unwrap_or_default())?;
            Ok(Poll::Ready(length))
        });
        copied.unwrap_or(Ok(Poll::Pending))
    }
}

#[cfg(test)]
mod property_tests;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use fake_telegram::harness::TemporaryDirectory;
    use rustix::fs::OFlags;
    use rustix::net::sockopt;

    use super::*;
    use crate::net::test_help::pair;
    use crate::net::{Executor, Reactor, fill_random};

    /// What the receiving end is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Through {
        Tcp,
        Unix,
        /// TCP with a flag to whose files splice(2) does not write.
        NoSplice,
    }

    async fn unix_pair(reactor: &Rc<Reactor>) -> (Socket, Socket) {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let near = Socket::connect_unix(reactor, &path).await.unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, Socket::new(reactor, far.into()).unwrap())
    }

    /// Sends `data` through it and returns what comes out at its end, where
    /// nobody takes any of it at first.
    fn relay(data: &[u8], pipes: &Rc<PipePool>, first: &[u8], through: Through) -> Vec<u8> {
        let reactor = Reactor::new().unwrap();
        let executor = Executor::default();
        reactor.block_on(&executor, async {
            let (sender, from) = pair(&reactor).await;
            let (to, receiver) = match through {
                Through::Unix => unix_pair(&reactor).await,
                _ => pair(&reactor).await,
            };
            if through == Through::NoSplice {
                let flags = OFlags::APPEND | OFlags::NONBLOCK;
                rustix::fs::fcntl_setfl(&to, flags).unwrap();
            }
            sockopt::set_socket_send_buffer_size(&to, 64 * 1024).unwrap();
            sockopt::set_socket_recv_buffer_size(&receiver, 64 * 1024).unwrap();
            let scratch = Scratch::default();
            let buffers = BufferPool::new(reactor.clock(), 64 * 1024);
            let mut one_way = OneWay::starting_with(&buffers, first);
            let parts = OneWayParts {
                pipes,
                scratch: &scratch,
                buffers: &buffers,
            };
            let sending = async {
                sender.write_all(data).await.unwrap();
                sender.shutdown_write().unwrap();
            };
            let relaying = poll_fn(|cx| {
                one_way.advance(cx, &parts, &from, &to).unwrap();
                if one_way.is_done() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            let receiving = async {
                while data.len() > 1_000_000 && to.is_writable() {
                    reactor.sleep(Duration::from_millis(1)).await;
                }
                assert!(buffers.used_bytes() <= CHUNK_LEN);
                let (mut received, mut buffer) = (Vec::new(), vec![0; 10_000]);
                loop {
                    match receiver.read(&mut buffer).await.unwrap() {
                        0 => break received,
                        length => received.extend_from_slice(&buffer[..length]),
                    }
                }
            };
            let ((), ((), received)) =
                smol::future::zip(sending, smol::future::zip(relaying, receiving)).await;
            assert_eq!(one_way.moved(), received.len() as u64);
            assert_eq!(buffers.used_bytes(), 0);
            received
        })
    }

    #[test]
    fn everything_arrives_and_then_the_end() {
        let mut data = vec![0; 3_000_000];
        fill_random(&mut data);
        for (length, pipes, first, through) in [
            (0, 1, &b""[..], Through::Tcp),
            (1, 0, b"before", Through::Tcp),
            (3_000_000, 1, b"before", Through::Tcp),
            (3_000_000, 0, b"", Through::Tcp),
            (3_000_000, 1, b"before", Through::Unix),
        ] {
            let received = relay(&data[..length], &PipePool::new(pipes), first, through);
            assert!(received == [first, &data[..length]].concat(), "{length}");
        }
    }

    #[test]
    fn a_kernel_that_refuses_to_splice_is_asked_once() {
        let mut data = vec![0; 3_000_000];
        fill_random(&mut data);
        for (pipes, through) in [
            (PipePool::without_pipes(), Through::Tcp),
            (PipePool::new(1), Through::NoSplice),
        ] {
            for _ in 0..2 {
                assert!(relay(&data, &pipes, b"", through) == data, "{through:?}");
                assert!(pipes.take().is_none(), "{through:?}");
            }
        }
    }

    #[test]
    fn half_of_the_pipes_are_left_to_others() {
        let pipes = PipePool::new(2);
        let first = pipes.take_if_plenty();
        assert!(first.is_some() && pipes.take_if_plenty().is_none());
        assert!(pipes.take().is_some());
    }
}
