use std::net::SocketAddr;
use std::rc::Rc;

use super::{Listener, Reactor, Socket};

/// Both ends of a TCP connection.
pub(super) async fn pair(reactor: &Rc<Reactor>) -> (Socket, Socket) {
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(reactor, anywhere).unwrap();
    let address = listener.address();
    let connecting = Socket::connect(reactor, address);
    let (near, far) = smol::future::zip(connecting, listener.accept()).await;
    (near.unwrap(), far.unwrap())
}
