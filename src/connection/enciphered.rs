//! A connection to a DC that is written to through a cipher.

use std::io;
use std::rc::Rc;
use std::task::Context;

use smol_mtproxy_ciphers::CtrStream;

use crate::net::{BufferPool, Rope, Socket};

/// A socket, the cipher of all that goes out, and what the kernel did not take of
/// it. What comes in is read from the [`socket`](Self::socket) as it is.
pub(crate) struct Enciphered {
    socket: Socket,
    cipher: CtrStream,
    /// Encrypted bytes that the kernel has not taken. A box, as most connections never
    /// have any; an empty one is kept for the next until the connection is silent.
    pending: Option<Box<Rope>>,
}

impl Enciphered {
    pub(crate) fn new(socket: Socket, cipher: CtrStream) -> Self {
        Self {
            socket,
            cipher,
            pending: None,
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Everything that was sent has been taken by the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.as_ref().is_none_or(|rope| rope.is_empty())
    }

    /// Encrypts `data` in place and sends it, behind what waits: how many bytes of
    /// it the kernel took. The rest waits for [`flush`](Self::flush), also after an
    /// error, which `flush` then meets again.
    pub(crate) fn send(&mut self, buffers: &Rc<BufferPool>, data: &mut [u8]) -> io::Result<usize> {
        self.cipher.apply(data);
        let written = match self.is_flushed() {
            true => self.socket.try_write(data),
            false => Ok(0),
        };
        let taken = *written.as_ref().unwrap_or(&0);
        let rest = data.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            let pending = self.pending.get_or_insert_default();
            pending.append_overdrawn(buffers, rest);
        }
        written
    }

    /// Sends what waits, as far as the kernel takes it, which wakes the caller for
    /// more: how many bytes.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut total = 0;
        if let Some(pending) = &mut self.pending {
            while !pending.is_empty() && self.socket.poll_writable(cx).is_ready() {
                total += pending.write_to(&self.socket)?;
            }
        }
        Ok(total)
    }

    /// Drops what the next byte can make again: the expanded keys.
    pub(crate) fn hibernate(&mut self) {
        self.cipher.hibernate();
        self.pending.take_if(|rope| rope.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use proptest::prelude::*;
    use rustix::net::sockopt;
    use smol_mtproxy_ciphers::StreamKey;

    use super::*;
    use crate::net::test_help::pair;
    use crate::net::{Executor, Reactor};

    const MAX: usize = 300_000;

    fn cipher() -> CtrStream {
        let (key, iv) = ([7; 32], [9; 16]);
        CtrStream::new(StreamKey { key, iv })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send(usize),
        Flush,
        Hibernate,
        /// The other side takes so much of what there is.
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop_oneof![1..200usize, 1..MAX].prop_map(Step::Send),
            2 => Just(Step::Flush),
            1 => Just(Step::Hibernate),
            2 => (1..MAX).prop_map(Step::Take),
        ]
    }

    /// What arrives of `steps`, and what was sent, encrypted at once. Of each step
    /// and at the end what was told is compared with what is kept.
    fn run(steps: Vec<Step>) -> (Vec<u8>, Vec<u8>) {
        let reactor = Reactor::new().unwrap();
        let buffers = BufferPool::new(reactor.clock(), 64 * 1024);
        reactor.block_on(&Executor::default(), async {
            let (near, far) = pair(&reactor).await;
            sockopt::set_socket_send_buffer_size(&near, 16 * 1024).unwrap();
            let mut line = Enciphered::new(near, cipher());
            let (mut sent, mut taken, mut received) = (Vec::new(), 0, Vec::new());
            let mut space = vec![0; MAX];
            for step in steps {
                // The reactor sees what either socket is ready for.
                smol::future::yield_now().await;
                match step {
                    Step::Send(length) => {
                        let mut data: Vec<u8> =
                            (0..length).map(|i| (i + sent.len()) as u8).collect();
                        sent.extend_from_slice(&data);
                        taken += line.send(&buffers, &mut data).unwrap();
                    }
                    Step::Flush => {
                        taken += poll_fn(|cx| Poll::Ready(line.flush(cx))).await.unwrap()
                    }
                    Step::Hibernate => line.hibernate(),
                    Step::Take(most) => {
                        let reading = smol::future::poll_once(far.read(&mut space[..most]));
                        let length = reading.await.map_or(0, Result::unwrap);
                        received.extend_from_slice(&space[..length]);
                    }
                }
                assert_eq!(line.is_flushed(), taken == sent.len());
                assert_eq!(buffers.used_bytes() == 0, line.is_flushed());
            }
            let flushing = poll_fn(|cx| {
                taken += line.flush(cx).unwrap();
                match line.is_flushed() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            let receiving = async {
                while received.len() < sent.len() {
                    let length = far.read(&mut space).await.unwrap();
                    received.extend_from_slice(&space[..length]);
                }
            };
            smol::future::zip(flushing, receiving).await;
            assert_eq!(taken, sent.len());
            assert!(line.is_flushed() && buffers.used_bytes() == 0);
            line.hibernate();
            assert!(line.pending.is_none());
            cipher().apply(&mut sent);
            (received, sent)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn all_arrives_in_order_and_each_byte_is_counted_once(
            steps in proptest::collection::vec(step(), 1..30),
        ) {
            let (received, sent) = run(steps);
            prop_assert!(received == sent);
        }
    }

    #[test]
    fn an_error_is_found_again() {
        let reactor = Reactor::new().unwrap();
        let buffers = BufferPool::new(reactor.clock(), 64 * 1024);
        reactor.block_on(&Executor::default(), async {
            let (near, far) = pair(&reactor).await;
            let mut line = Enciphered::new(near, cipher());
            far.set_reset_on_close().unwrap();
            drop(far);
            poll_fn(|cx| line.socket().poll_hung_up(cx)).await;
            assert!(line.send(&buffers, &mut [1; 100]).is_err());
            assert!(!line.is_flushed());
            assert_eq!(line.send(&buffers, &mut [1; 100]).unwrap(), 0);
            assert!(poll_fn(|cx| Poll::Ready(line.flush(cx))).await.is_err());
        });
    }
}
