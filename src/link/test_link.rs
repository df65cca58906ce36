//! A link for tests of one side's streams: it has no task and goes nowhere.

use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::LinkContext;
use super::connection::{Connection, Parts};
use crate::net::{BufferPool, Reactor, Socket};

pub(super) fn connection() -> Rc<Connection> {
    let reactor = Reactor::new().unwrap();
    let (near, _) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let socket = Socket::new(&reactor, near.into()).unwrap();
    let context = Rc::new(LinkContext {
        reactor,
        executor: Rc::default(),
        buffers: BufferPool::new(4 << 20),
        scratch: Rc::default(),
        metrics: Rc::default(),
    });
    Connection::new(Parts {
        window_out: context.window() as u32,
        context,
        socket,
        peer: "nobody".to_owned(),
        is_plain: false,
    })
}
