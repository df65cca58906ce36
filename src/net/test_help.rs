//! What tests of several rooms need.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::{Listener, Reactor, Socket};

/// Both ends of a TCP connection.
pub(crate) async fn pair(reactor: &Rc<Reactor>) -> (Socket, Socket) {
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(reactor, anywhere).unwrap();
    let address = listener.address();
    let connecting = Socket::connect(reactor, address);
    let (near, far) = smol::future::zip(connecting, listener.accept()).await;
    (near.unwrap(), far.unwrap())
}

/// A task that never runs: it counts how often it is woken.
#[derive(Default)]
pub(crate) struct WakeCount(AtomicUsize);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl WakeCount {
    /// With its waker.
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::<Self>::default();
        let waker = Waker::from(count.clone());
        (count, waker)
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// How often since this was asked last.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}
