//! Listeners: who comes gets a place, the rules of the address it came to, and a task.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol::Task;
use smol::future::FutureExt;

use super::enter::{Entered, enter, evicted};
use super::peer::Peer;
use super::registry::{Place, SessionPlace};
use super::session::Client;
#[cfg(feature = "tls")]
use super::web_door::{WebStanding, WebVisitor};
use super::{ClientContext, Rules};
use crate::config::Reset;
use crate::metrics::RejectReason;
use crate::net::{Listener, Live, Socket};
use crate::wire::secret::Secret;

/// How long accepting rests when descriptors ran out and no client leaves.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a listener goes by.
struct Board {
    rules: Live<Rules>,
    /// Some of its addresses, with what they go by: rules of other listeners, or of
    /// its own.
    parts: RefCell<Vec<(SocketAddr, Live<Rules>)>>,
    /// They are its own, and it is there for these alone.
    parts_only: Cell<bool>,
}

impl Board {
    fn new(rules: Rules) -> Rc<Self> {
        Rc::new(Self {
            rules: Live::new(rules),
            parts: RefCell::default(),
            parts_only: Cell::new(false),
        })
    }

    /// By what who comes through `socket` is taken; `None`: it is not.
    fn rules_for(&self, socket: &Socket) -> Option<Live<Rules>> {
        let parts = self.parts.borrow();
        let local = || socket.local_address().ok();
        let local = (!parts.is_empty()).then(local).flatten();
        let part = parts.iter().find(|(address, _)| Some(*address) == local);
        match part {
            Some((_, part)) => Some(part.clone()),
            None if self.parts_only.get() => None,
            None => Some(self.rules.clone()),
        }
    }
}

/// A listener that accepts. Dropping it closes the listening socket; its
/// clients stay.
pub(crate) struct ListenerHandle {
    address: SocketAddr,
    listener: Rc<Listener>,
    context: Rc<ClientContext>,
    board: Rc<Board>,
    accepting: Option<Task<()>>,
}

impl ListenerHandle {
    /// Where it really listens, if port 0 was asked for.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// By what who comes is taken.
    #[cfg(test)]
    pub(crate) fn rules(&self) -> Live<Rules> {
        self.board.rules.clone()
    }

    pub(crate) fn socket(&self) -> &Rc<Listener> {
        &self.listener
    }

    /// Other rules for the clients that come from here on, and for the secrets of
    /// those who are in their handshake.
    pub(crate) fn set_rules(&self, rules: Rules) {
        let parts = self.board.parts.take();
        if self.board.parts_only.replace(false) {
            for (_, part) in parts {
                part.set(rules.clone());
            }
        }
        self.board.rules.set(rules);
    }

    /// It is to be closed. From here on it takes only secrets that are kept, and
    /// whoever comes to the address of one of `others` by the rules of that one.
    pub(crate) fn retire<'a>(
        &self,
        is_kept: impl Fn(&Secret) -> bool,
        others: impl Iterator<Item = &'a Self>,
    ) {
        let mut rules = self.board.rules.with(Rules::clone);
        rules.secrets.retain(|named| is_kept(&named.secret.key));
        self.set_rules(rules);
        let others = others.map(|other| (other.address, other.board.rules.clone()));
        self.board.parts.replace(others.collect());
    }

    /// From now on it takes clients at these of its addresses, and whoever comes
    /// to another is reset.
    pub(crate) fn stand_in(
        &self,
        is_kept: impl Fn(&Secret) -> bool,
        parts: impl Iterator<Item = (SocketAddr, Rules)>,
    ) {
        self.retire(is_kept, [].into_iter());
        let parts = parts.map(|(address, rules)| (address, Live::new(rules)));
        self.board.parts.replace(parts.collect());
        self.board.parts_only.set(true);
    }

    /// Accepts no more, but for those who have been let in by the kernel. The
    /// socket goes on listening until it is dropped.
    pub(crate) async fn close(mut self) -> Rc<Listener> {
        if let Some(accepting) = self.accepting.take() {
            accepting.cancel().await;
        }
        let take = |socket| take(&self.context, socket, &self.board);
        self.listener.take_waiting(take);
        self.listener.clone()
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        self.context.sites.not_listening(self.address);
    }
}

/// Starts to accept clients from `listener`.
pub(crate) fn listen(
    context: &Rc<ClientContext>,
    listener: Rc<Listener>,
    rules: Rules,
) -> ListenerHandle {
    let address = listener.address();
    let board = Board::new(rules);
    context.sites.listening(address);
    let accepting = accept(context.clone(), listener.clone(), board.clone());
    ListenerHandle {
        address,
        listener,
        context: context.clone(),
        board,
        accepting: Some(context.executor.spawn_patient(accepting)),
    }
}

async fn accept(context: Rc<ClientContext>, listener: Rc<Listener>, board: Rc<Board>) {
    let take = |socket| take(&context, socket, &board);
    // A client that leaves gives some back of what ran out.
    let trouble = |error: &io::Error| {
        tell_trouble(&context, error);
        context.registry.one_left()
    };
    listener.take_all(ACCEPT_PAUSE, take, trouble).await;
}

fn take(context: &Rc<ClientContext>, socket: Socket, board: &Board) {
    let Some(rules) = board.rules_for(&socket) else {
        let _ = socket.set_reset_on_close();
        return;
    };
    context.metrics.accepted.inc();
    let Some(peer) = Peer::of(&socket) else {
        return context.metrics.client_rejected(RejectReason::Abandoned);
    };
    let Some(place) = Place::take(context, peer) else {
        context
            .metrics
            .client_rejected(RejectReason::TooManyClients);
        if context.config.with(|config| config.reset) != Reset::Never {
            let _ = socket.set_reset_on_close();
        }
        context.let_go(&socket);
        return context.log_full_house();
    };
    let arriving = arrive(place, socket, rules);
    context.executor.spawn_patient(arriving).detach();
}

/// Descriptors or memory of the kernel ran out.
fn tell_trouble(context: &ClientContext, error: &io::Error) {
    context.metrics.accept_pauses.inc();
    if let Some(skipped) = context.accept_log.pass(context.reactor.now()) {
        warn!(
            "cannot accept clients: {error}{skipped}; raise the limit of open files (ulimit -n, LimitNOFILE=; of the system fs.file-max) or lower --max-clients"
        );
    }
}

/// A connection from its first byte to its session or, if it never is a
/// client's, to its last.
async fn arrive(place: Place, socket: Socket, rules: Live<Rules>) {
    // In a box, so that a site's visitor does not keep its beginning's memory.
    match Box::pin(enter(&place, socket, rules)).await {
        Some(Entered::Client(client)) => {
            let executor = place.context().executor.clone();
            if let Some(place) = place.into_session() {
                executor.spawn(stay(place, client)).detach();
            }
        }
        Some(Entered::Stranger(relay)) => relay.run().or(evicted(&place)).await,
        #[cfg(feature = "tls")]
        Some(Entered::Web(entry)) => {
            let standing = WebStanding::new(place, entry.peer, entry.guest);
            let visitor = WebVisitor {
                socket: entry.socket,
                received: entry.received,
                accepted: entry.accepted,
                peer: entry.peer,
                standing: standing.clone(),
            };
            entry.door.serve(visitor).or(standing.evicted()).await;
        }
        None => {}
    }
}

/// A client from here on. The arguments of an async function would be in its future twice.
#[expect(clippy::manual_async_fn, reason = "what that makes is larger")]
pub(super) fn stay(place: SessionPlace, mut client: Client) -> impl Future<Output = ()> {
    async move {
        client.run().await;
        drop(place);
    }
}
