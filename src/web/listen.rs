//! Doors for web servers in front of us, which have the TLS (`--web-listen`).

use std::io;
use std::rc::Rc;
use std::time::Duration;

use smol::Task;

use super::WebContext;
use super::in_front::InFront;
use super::server::{Origin, serve};
use crate::client::Peer;
use crate::config::WebListen;
use crate::guard::fair_queue as guard;
use crate::http::Connection;
use crate::net::{Listener, Live, Socket};
use crate::wire::proxy_protocol;

/// How long accepting rests when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// For the header of a relay of `--proxy-protocol`.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// A door that is open. Dropping it closes the listening socket; connections stay.
pub(crate) struct WebListenerHandle {
    context: Rc<WebContext>,
    listener: Rc<Listener>,
    door: Live<WebListen>,
    accepting: Option<Task<()>>,
}

impl WebListenerHandle {
    pub(crate) fn socket(&self) -> &Rc<Listener> {
        &self.listener
    }

    /// What is told of clients is trusted by this from here on.
    pub(crate) fn set(&self, door: WebListen) {
        self.door.set(door);
    }

    /// Accepts no more, but for those who have been let in by the kernel. The socket goes
    /// on listening until it is dropped.
    pub(crate) async fn close(mut self) -> Rc<Listener> {
        if let Some(accepting) = self.accepting.take() {
            accepting.cancel().await;
        }
        self.listener
            .take_waiting(|socket| take(&self.context, socket, &self.door));
        self.listener.clone()
    }
}

/// Starts to accept connections of HTTP from `listener`.
pub(crate) fn listen(
    context: &Rc<WebContext>,
    listener: Rc<Listener>,
    door: WebListen,
) -> WebListenerHandle {
    let door = Live::new(door);
    let accepting = accept(context.clone(), listener.clone(), door.clone());
    WebListenerHandle {
        context: context.clone(),
        listener,
        door,
        accepting: Some(context.executor.spawn_patient(accepting)),
    }
}

async fn accept(context: Rc<WebContext>, listener: Rc<Listener>, door: Live<WebListen>) {
    let take = |socket| take(&context, socket, &door);
    let trouble = |_: &io::Error| {
        context.metrics.accept_pauses.inc();
        std::future::pending::<()>()
    };
    listener.take_all(ACCEPT_PAUSE, take, trouble).await;
}

fn take(context: &Rc<WebContext>, socket: Socket, door: &Live<WebListen>) {
    context.metrics.accepted.inc();
    let Some(peer) = Peer::of(&socket) else {
        return;
    };
    let Some(mut seated) = context.connections.take() else {
        let _ = context.scratch.with(|space| socket.discard_waiting(space));
        return;
    };
    socket.set_nodelay();
    let (context, door) = (context.clone(), door.clone());
    let executor = context.executor.clone();
    let serving = async move {
        let is_told = context.gate.is_relay(peer.client.ip());
        if let Some((peer, received)) = told_by_relay(&context, &socket, peer).await {
            let told = is_told.then(|| guard::Origin::of(peer.client.ip()));
            if !seated.belong_to(told) {
                let _ = context.scratch.with(|space| socket.discard_waiting(space));
                return;
            }
            let origin = Origin::Behind(InFront {
                peer,
                door,
                is_told,
            });
            let connection = Rc::new(Connection::plain(socket));
            serve(context, connection, received, origin, Some(seated)).await;
        }
    };
    executor.spawn(serving).detach();
}

/// Who a connection is from, as the PROXY header of a relay says, and what came behind
/// that. `None`: there should be one.
async fn told_by_relay(
    context: &WebContext,
    socket: &Socket,
    peer: Peer,
) -> Option<(Peer, Vec<u8>)> {
    if !context.gate.is_relay(peer.client.ip()) {
        return Some((peer, Vec::new()));
    }
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            if let Some(header) = proxy_protocol::parse(&bytes).ok()? {
                let told = header.addresses.map(|told| Peer {
                    client: told.client,
                    local: told.local,
                });
                return Some((told.unwrap_or(peer), bytes.split_off(header.consumed)));
            }
            let start = bytes.len();
            bytes.resize(start + proxy_protocol::wanted(&bytes), 0);
            let read = socket.read(bytes.get_mut(start..)?).await.unwrap_or(0);
            bytes.truncate(start + read);
            if read == 0 {
                return None;
            }
        }
    };
    let reading = Box::pin(reading);
    context.reactor.timeout(HEADER_LIMIT, reading).await?
}
