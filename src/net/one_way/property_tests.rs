//! A relay of both directions between real sockets, whatever its peers and the kernel do.

use std::future::poll_fn;
use std::time::Duration;

use proptest::prelude::*;
use rustix::fs::OFlags;
use rustix::net::sockopt;

use super::*;
use crate::net::test_help::pair;
use crate::net::{Executor, Reactor};

const MAX: usize = 300_000;
const PIPES: usize = 4;

/// How long everything that is left may take.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Deed {
    /// A peer sends so much of what it has room for.
    Send(usize, usize),
    /// A peer takes so much of what there is.
    Take(usize, usize),
    /// A peer ends its direction.
    Shut(usize),
    /// Others borrow all pipes, or give them back.
    Borrow(bool),
    /// The kernel splices nothing any more to the socket that leads to a peer.
    Refuse(usize),
    /// The relay goes on.
    Relay,
}

fn deed() -> impl Strategy<Value = Deed> {
    let length = || prop_oneof![1..20_000usize, 1..MAX];
    prop_oneof![
        6 => (0..2usize, length()).prop_map(|(peer, length)| Deed::Send(peer, length)),
        4 => (0..2usize, length()).prop_map(|(peer, length)| Deed::Take(peer, length)),
        1 => (0..2usize).prop_map(Deed::Shut),
        1 => any::<bool>().prop_map(Deed::Borrow),
        1 => (0..2usize).prop_map(Deed::Refuse),
        8 => Just(Deed::Relay),
    ]
}

/// What a peer sends at this position.
fn byte(peer: usize, position: usize) -> u8 {
    let seed = (position as u32) ^ (peer as u32) << 31;
    (seed.wrapping_mul(2_654_435_761) >> 24) as u8
}

/// One of the two that the relay is between.
struct Peer {
    socket: Socket,
    number: usize,
    sent: usize,
    has_shut: bool,
    received: usize,
    has_end: bool,
}

impl Peer {
    fn send(&mut self, most: usize) {
        if !self.has_shut {
            let places = self.sent..self.sent + most;
            let data: Vec<u8> = places.map(|place| byte(self.number, place)).collect();
            self.sent += self.socket.try_write(&data).unwrap();
        }
    }

    fn shut(&mut self) {
        if !self.has_shut {
            self.has_shut = true;
            self.socket.shutdown_write().unwrap();
        }
    }

    /// What comes is what the other one sent, in its order; an error is the end.
    async fn take(&mut self, most: usize) {
        let mut space = vec![0; most];
        let read = smol::future::poll_once(self.socket.read(&mut space)).await;
        let length = match read {
            Some(Ok(length)) => length,
            Some(Err(_)) => 0,
            None => return,
        };
        self.has_end |= length == 0;
        for (taken, place) in space.iter().take(length).zip(self.received..) {
            assert_eq!(*taken, byte(1 - self.number, place), "at {place}");
        }
        self.received += length;
    }
}

/// Does all that, and then lets `broken` reset its connection, or else both end theirs.
fn run(deeds: Vec<Deed>, broken: Option<usize>) {
    let reactor = Reactor::new().unwrap();
    let buffers = BufferPool::new(reactor.clock(), 64 * 1024);
    let (pipes, scratch) = (PipePool::new(PIPES), Scratch::default());
    let parts = OneWayParts {
        pipes: &pipes,
        scratch: &scratch,
        buffers: &buffers,
    };
    reactor.block_on(&Executor::default(), async {
        let ((left, near), (far, right)) = (pair(&reactor).await, pair(&reactor).await);
        let ends = [near, far];
        for end in &ends {
            sockopt::set_socket_send_buffer_size(end, 32 * 1024).unwrap();
        }
        let mut number = 0..;
        let mut peers = [left, right].map(|socket| {
            sockopt::set_socket_recv_buffer_size(&socket, 32 * 1024).unwrap();
            Peer {
                socket,
                number: number.next().unwrap(),
                sent: 0,
                has_shut: false,
                received: 0,
                has_end: false,
            }
        });
        let mut ways = [OneWay::default(), OneWay::default()];
        let mut relay = async || {
            smol::future::yield_now().await;
            poll_fn(|cx| {
                let [there, back] = &mut ways;
                let result = there
                    .advance(cx, &parts, &ends[0], &ends[1])
                    .and_then(|()| back.advance(cx, &parts, &ends[1], &ends[0]));
                let moved = [there.moved(), back.moved()];
                Poll::Ready(result.map(|()| (there.is_done() && back.is_done(), moved)))
            })
            .await
        };
        let mut borrowed = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Send(peer, most) => peers[peer].send(most),
                Deed::Take(peer, most) => peers[peer].take(most).await,
                Deed::Shut(peer) => peers[peer].shut(),
                Deed::Borrow(true) => borrowed.extend(std::iter::from_fn(|| pipes.take())),
                Deed::Borrow(false) => borrowed.clear(),
                Deed::Refuse(peer) => {
                    let flags = OFlags::APPEND | OFlags::NONBLOCK;
                    rustix::fs::fcntl_setfl(&ends[peer], flags).unwrap();
                }
                Deed::Relay => drop(relay().await.unwrap()),
            }
            assert!(buffers.used_bytes() <= 4 * CHUNK_LEN);
        }
        if let Some(broken) = broken {
            peers[broken].socket.set_reset_on_close().unwrap();
            let [left, right] = peers;
            let (gone, mut other) = if broken == 0 {
                (left, right)
            } else {
                (right, left)
            };
            drop(gone);
            other.shut();
            let deadline = reactor.now() + LIMIT;
            while relay().await.is_ok_and(|(is_done, _)| !is_done) {
                assert!(reactor.now() < deadline, "nobody finds it out");
                other.take(MAX).await;
                reactor.sleep(Duration::from_millis(1)).await;
            }
        } else {
            let deadline = reactor.now() + LIMIT;
            peers.iter_mut().for_each(Peer::shut);
            let (mut is_done, mut moved) = (false, [0; 2]);
            while !is_done || peers.iter().any(|peer| !peer.has_end) {
                assert!(reactor.now() < deadline, "something is stuck");
                (is_done, moved) = relay().await.unwrap();
                for peer in &mut peers {
                    peer.take(MAX).await;
                }
            }
            for (one, other) in [(0, 1), (1, 0)] {
                assert_eq!(peers[other].received, peers[one].sent);
                assert_eq!(moved[one], peers[one].sent as u64);
            }
        }
        drop((borrowed, ways));
        assert_eq!(buffers.used_bytes(), 0);
        // None at all once the kernel has refused.
        let all: Vec<_> = std::iter::from_fn(|| pipes.take()).collect();
        assert!(all.is_empty() || all.len() == PIPES);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        deeds in proptest::collection::vec(deed(), 1..60),
        broken in proptest::option::weighted(0.3, 0..2usize),
    ) {
        run(deeds, broken);
    }
}
