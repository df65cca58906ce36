//! A back's link and its streams: where Telegram's side and the front stand in.

mod answers;
mod ending;
mod large;
mod model;
mod shares;

use std::cell::Cell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Weak;
use std::task::Poll;

use super::*;
use crate::backend::{Packet, PendingSession, Session, SessionRequest, Sink, Stream};
use crate::link::LinkContext;
use crate::link::back::line::LineEnd;
use crate::link::back::packets::Packets;
use crate::link::test_link::{self, Turns};
use crate::net::{BufferPool, Rope};
use crate::wire::dc::DcId;
use crate::wire::link::data_header;
use crate::wire::transport::Transport;

fn future<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// An idle client costs the back these, and on each its allocator's word.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_stream_is_small() {
    let stream = size_of::<BackStream>();
    assert!(stream <= 120, "{stream}");
    assert!(
        stream + size_of::<Packets>() <= 168,
        "{}",
        size_of::<Packets>()
    );
    assert!(
        stream + size_of::<LineEnd>() <= 240,
        "{}",
        size_of::<LineEnd>()
    );
    // Not of an idle one, but there may be many at once.
    assert!(future(open_session) <= 256);
}

type Speech = Box<dyn FnOnce(&dyn Sink)>;

/// A Telegram that takes something or nothing, and counts it.
#[derive(Default)]
struct Dc {
    is_stuck: Cell<bool>,
    took: Cell<usize>,
    /// How often it was told to go on.
    resumed: Cell<usize>,
    waiting: Cell<Option<Waker>>,
    /// What it says to the next client whose session is asked for something.
    says: Cell<Option<Speech>>,
}

impl Dc {
    fn stuck() -> Rc<Self> {
        let dc = Rc::new(Self::default());
        dc.is_stuck.set(true);
        dc
    }

    fn take_more(&self) {
        self.is_stuck.set(false);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

struct SessionOf(Rc<Dc>);

impl Backend for SessionOf {
    fn open(&self, _: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_> {
        let session = Box::new(SessionWith(self.0.clone(), Rc::downgrade(&sink)));
        Box::pin(async { Ok(Session::Packets(session)) })
    }
}

struct SessionWith(Rc<Dc>, Weak<dyn Sink>);

impl SessionWith {
    /// Something that Telegram's side says while it is called.
    fn say(&self) {
        if let Some(say) = self.0.says.take()
            && let Some(sink) = self.1.upgrade()
        {
            say(&*sink);
        }
    }
}

impl Stream for SessionWith {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.say();
        if !self.0.is_stuck.get() {
            return Poll::Ready(());
        }
        self.0.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn push(&self, packet: Packet<'_>) {
        let length = match packet.body {
            crate::backend::Body::Slice(slice) => slice.len(),
            crate::backend::Body::Rope(rope) => rope.len(),
        };
        self.0.took.set(self.0.took.get() + length);
        self.say();
    }

    fn resume(&self) {
        self.say();
        self.0.resumed.set(self.0.resumed.get() + 1);
    }
}

/// A back and its fronts.
struct House {
    context: Rc<LinkContext>,
    fronts: Rc<Fronts>,
}

impl House {
    fn new() -> Self {
        let context = Rc::new(test_link::context());
        Self {
            fronts: Fronts::new(&context),
            context,
        }
    }

    /// Another link of a front.
    fn link(&self, front: &str, dc: &Rc<Dc>) -> Rc<BackLink> {
        let share = self.fronts.share(front);
        self.over(test_link::connection_of(&self.context, share), dc)
    }

    fn over(&self, connection: Rc<LinkConnection>, dc: &Rc<Dc>) -> Rc<BackLink> {
        let backend = Rc::new(SessionOf(dc.clone()));
        let link = BackLink::new(backend, &self.fronts, connection);
        self.fronts.add(link.clone());
        link
    }

    fn driven(&self, backend: Rc<dyn Backend>) -> (Rc<BackLink>, Turns, UnixStream) {
        let share = self.fronts.share("a front");
        let (connection, driver, far) = test_link::driven_of(&self.context, share);
        let link = BackLink::new(backend, &self.fronts, connection);
        self.fronts.add(link.clone());
        let turns = Turns::new(driver, link.clone());
        (link, turns, far)
    }
}

/// Bytes that the front of the link holds.
fn held(link: &BackLink) -> usize {
    let share = &link.connection.share;
    share.with(|whole, user| whole.held_by(user))
}

fn opening(dc: i16) -> Open {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Open {
        route: OpenRoute::Middle,
        dc: DcId(dc),
        transport: Transport::Padded,
        client: nobody,
        local: nobody,
        tag: None,
    }
}

/// Opens a stream and hands it the bytes.
fn open(link: &Rc<BackLink>, number: u32, bytes: &mut [u8]) -> Weak<BackStream> {
    open_to(2, link, number, bytes)
}

fn open_to(dc: i16, link: &Rc<BackLink>, number: u32, bytes: &mut [u8]) -> Weak<BackStream> {
    link.open(number, opening(dc)).unwrap();
    let stream = link.live(number).unwrap();
    stream.receive(bytes).unwrap();
    Rc::downgrade(&stream)
}

/// Takes the frames that wait to be sent.
fn frames(link: &BackLink) -> Vec<Frame> {
    let frames = test_link::frames(&link.connection);
    link.connection.with_out(|out| out.clear());
    frames
}

/// Credit that a stream was given meanwhile.
fn credit(link: &BackLink, of: u32) -> u32 {
    let frames = frames(link).into_iter().map(|frame| match frame {
        Frame::Credit { stream, bytes } if stream == of => bytes,
        _ => 0,
    });
    frames.sum()
}

fn turn(link: &Rc<BackLink>) {
    let cx = &mut Context::from_waker(Waker::noop());
    link.look_again(cx).unwrap();
}

/// Takes so many bytes of the buffers.
fn take(buffers: &Rc<BufferPool>, bytes: usize) -> Rope {
    let mut rope = Rope::default();
    assert_eq!(rope.append(buffers, &vec![0; bytes]), bytes);
    rope
}

/// What comes after the task was woken by something else than the socket.
fn comes_late(backend: Rc<dyn Backend>, bytes: &[u8]) -> (Rc<BackLink>, Weak<BackStream>) {
    let (link, mut turns, mut far) = House::new().driven(backend);
    let stream = open(&link, 0, &mut []);
    turns.take();
    link.connection.send(&Frame::Ping(1));
    for bytes in bytes.chunks(1 << 14) {
        far.write_all(&data_header(0, bytes.len())).unwrap();
        far.write_all(bytes).unwrap();
    }
    test_link::look(&link.connection);
    turns.take();
    (link, stream)
}
