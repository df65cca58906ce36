//! Links for tests of one side's streams.

use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::channel::{Channel, Outlet};
use super::connection::{ConnectionParts, LinkConnection};
use super::driver::{Half, LinkDriver};
use super::fault::Fault;
use super::handshake::Greeted;
use super::share::Share;
use super::{LinkContext, Silence};
use crate::config::{Config, LinkPlaces};
use crate::net::test_help::WakeCount;
use crate::net::{BufferPool, Reactor, Socket};
use crate::wire::link::{Decoder, Event, Frame, Hello, LinkSide, RANDOM_LEN};

pub(super) fn context() -> LinkContext {
    let flags = [
        ("--role", "back"),
        ("--link-listen", "127.0.0.1:1"),
        ("--link-psk", "/nowhere"),
    ];
    let reactor = Reactor::virtual_time().unwrap();
    LinkContext {
        executor: Rc::default(),
        buffers: BufferPool::new(reactor.clock(), 4 << 20),
        reactor,
        scratch: Rc::default(),
        metrics: Rc::default(),
        silence: Silence::default(),
        places: LinkPlaces {
            links: 256,
            streams: 100,
            lines: 60,
            ..Config::of(&flags).link.places
        },
    }
}

fn sockets(context: &LinkContext) -> (Socket, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (Socket::new(&context.reactor, near.into()).unwrap(), far)
}

/// One without a task that goes nowhere.
pub(super) fn connection() -> Rc<LinkConnection> {
    let context = Rc::new(context());
    let share = Share::new(&context.whole(), "somebody");
    connection_of(&context, share)
}

/// The same, of somebody.
pub(super) fn connection_of(context: &Rc<LinkContext>, share: Share) -> Rc<LinkConnection> {
    LinkConnection::new(ConnectionParts {
        window_out: context.window() as u32,
        socket: sockets(context).0,
        context: context.clone(),
        peer: SocketAddr::from(([192, 0, 2, 1], 1)).into(),
        share,
        #[cfg(feature = "tls")]
        fingerprints: None,
        outlet: Outlet::Plain,
    })
}

/// One with its task, and the other end.
pub(super) fn driven_of(
    context: &Rc<LinkContext>,
    share: Share,
) -> (Rc<LinkConnection>, LinkDriver, UnixStream) {
    let (socket, far) = sockets(context);
    let greeted = Greeted {
        socket,
        channel: Channel::Plain,
        outlet: Outlet::Plain,
        decoder: greeted_decoder(),
        early: Vec::new(),
        window: context.window() as u32,
        peer: SocketAddr::from(([192, 0, 2, 1], 1)).into(),
        name: share.name().to_owned(),
        #[cfg(feature = "tls")]
        fingerprints: None,
        is_trial: false,
        lacks_middle: false,
        hears_middle: true,
    };
    let (connection, driver) = LinkDriver::new(context, greeted, share);
    (connection, driver, far)
}

pub(super) fn greeted_decoder() -> Decoder {
    let hello = Frame::Hello(Hello {
        side: LinkSide::Front,
        is_keyed: false,
        is_trial: false,
        lacks_middle: false,
        hears_middle: false,
        window: 0,
        random: [0; RANDOM_LEN],
    });
    let mut decoder = Decoder::default();
    assert!(decoder.next(&mut &mut hello.encode()[..]).is_ok());
    decoder
}

/// Something that waits to be sent.
pub(super) enum Said {
    Frame(Frame),
    /// So many bytes of a stream.
    Data(u32, usize),
}

/// The frames that wait to be sent, without data.
pub(super) fn frames(connection: &LinkConnection) -> Vec<Frame> {
    let frame = |said| match said {
        Said::Frame(frame) => Some(frame),
        Said::Data(..) => None,
    };
    said(connection).into_iter().filter_map(frame).collect()
}

/// All that waits to be sent, in order.
pub(super) fn said(connection: &LinkConnection) -> Vec<Said> {
    let mut bytes: Vec<u8> = connection.with_out(|out| out.slices().flatten().copied().collect());
    let mut decoder = greeted_decoder();
    let mut input = bytes.as_mut_slice();
    let mut found = Vec::new();
    while let Some(event) = decoder.next(&mut input).unwrap() {
        found.push(match event {
            Event::Frame(frame) => Said::Frame(frame),
            Event::Data { stream, bytes } => Said::Data(stream, bytes.len()),
        });
    }
    found
}

/// A link's task that runs when it is told to, if it was woken.
pub(super) struct Turns {
    run: Pin<Box<dyn Future<Output = Fault>>>,
    woken: Arc<WakeCount>,
}

impl Turns {
    pub(crate) fn new(mut driver: LinkDriver, half: impl Half + 'static) -> Self {
        let (woken, waker) = WakeCount::new();
        waker.wake();
        Self {
            run: Box::pin(async move { driver.run(&half).await }),
            woken,
        }
    }

    /// Until nobody has woken it; how many there were.
    pub(crate) fn take(&mut self) -> usize {
        let waker = Waker::from(self.woken.clone());
        let mut turns = 0;
        while self.woken.take() > 0 {
            turns += 1;
            assert!(turns < 100, "it wakes itself again and again");
            match self.run.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(fault) => panic!("the link has ended: {fault}"),
                Poll::Pending => {}
            }
        }
        turns
    }
}

/// Takes note of what has come.
pub(super) fn look(connection: &LinkConnection) {
    let context = &connection.context;
    let looked = smol::future::yield_now();
    context.reactor.block_on(&context.executor, looked);
}
