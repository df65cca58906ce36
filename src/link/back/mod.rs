//! The back's half: takes links, and opens the sessions that fronts ask for.

mod early;
mod inbound;
mod line;
mod link;
mod signal;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::Task;

use super::connection::Connection;
use super::driver::Driver;
use super::fault::Fault;
use super::handshake::{Established, shake};
use super::security::Security;
use super::{HANDSHAKE_LIMIT, LinkContext, prepare};
use crate::backend::Backend;
use crate::config::Descriptors;
use crate::guard::acquaintances::Acquaintances;
use crate::guard::half_open::{HalfOpen, Hope, Origin};
use crate::log::Throttle;
use crate::metrics::LinkEnd;
use crate::net::{Listener, Notify, Socket};
use crate::wire::link::Role;
use link::BackLink;

/// How long links get to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Between lines about strangers.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Opens sessions of a local backend for fronts.
pub struct Back {
    context: Rc<LinkContext>,
    security: RefCell<Rc<Security>>,
    backend: Rc<dyn Backend>,
    half_open: Rc<HalfOpen>,
    most_links: usize,
    /// Where links came from lately.
    acquaintances: RefCell<Acquaintances>,
    started: Instant,
    links: RefCell<Vec<Rc<BackLink>>>,
    changed: Notify,
    /// Bytes that wait for Telegram, of all links.
    held: Rc<Cell<usize>>,
    complaints: Throttle,
}

/// Accepts links until it is dropped.
pub struct BackListener {
    address: SocketAddr,
    accepting: Task<()>,
}

impl Back {
    pub fn new(
        context: LinkContext,
        security: Security,
        backend: Rc<dyn Backend>,
        descriptors: Descriptors,
    ) -> Rc<Self> {
        Rc::new(Self {
            started: context.reactor.now(),
            context: Rc::new(context),
            security: RefCell::new(Rc::new(security)),
            backend,
            half_open: HalfOpen::new(descriptors.link_seats),
            most_links: descriptors.links,
            acquaintances: RefCell::default(),
            links: RefCell::default(),
            changed: Notify::default(),
            held: Rc::default(),
            complaints: Throttle::new(LOG_PERIOD),
        })
    }

    pub fn listen(self: &Rc<Self>, address: SocketAddr) -> io::Result<BackListener> {
        let listener = Listener::bind(&self.context.reactor, address)?;
        let address = listener.local_address()?;
        let accepting = self.clone().accept(listener);
        Ok(BackListener {
            address,
            accepting: self.context.executor.spawn_patient(accepting),
        })
    }

    /// For links made from now on.
    pub fn reconfigure(&self, security: Security) {
        self.security.replace(Rc::new(security));
    }

    /// Ends every session and link.
    pub async fn close(&self) {
        for link in self.links.borrow().iter() {
            link.connection.fail(Fault::Shutdown);
        }
        let gone = async {
            while !self.links.borrow().is_empty() {
                self.changed.changed().await;
            }
        };
        self.context.reactor.timeout(GOODBYE, gone).await;
    }

    async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok(socket) => {
                    // A stranger: links that are there go before.
                    let serving = self.clone().serve(socket);
                    self.context.executor.spawn_patient(serving).detach();
                    // Who was pushed out by it goes before the next one comes.
                    smol::future::yield_now().await;
                }
                Err(error) => {
                    if let Some(more) = self.complaints.pass() {
                        warn!(
                            "cannot accept links: {error} ({more} more lines before); raise the limit of open files (ulimit -n, LimitNOFILE=; of the system fs.file-max)"
                        );
                    }
                    self.context.reactor.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, socket: Socket) {
        let Ok(peer) = socket.peer_address() else {
            return self.context.metrics.link_ends.inc(LinkEnd::Broken);
        };
        let origin = Origin::of(peer.ip());
        match self.admit(socket, origin).await {
            Ok(established) => {
                let seconds = self.seconds();
                self.acquaintances.borrow_mut().meet(origin, seconds);
                let back = self.clone();
                let driving = async move { back.drive(established).await };
                self.context.executor.spawn(driving).detach();
            }
            Err(fault) => {
                self.context.metrics.link_ends.inc(fault.reason());
                match self.complaints.pass() {
                    Some(0) => warn!("{peer} gets no link: {fault}"),
                    Some(more) => warn!("{peer} gets no link: {fault} ({more} more before)"),
                    None => debug!("{peer} gets no link: {fault}"),
                }
            }
        }
    }

    async fn admit(&self, socket: Socket, origin: Origin) -> Result<Established, Fault> {
        prepare(&socket, &self.context.patience).map_err(Fault::Broken)?;
        let is_known = self.acquaintances.borrow().knows(origin, self.seconds());
        let seat = self.half_open.enter(origin, is_known);
        let security = self.security.borrow().clone();
        let shaking = async {
            // Who says nothing costs nothing.
            let said = poll_fn(|cx| socket.poll_peek(cx, &mut [0]));
            said.await.map_err(Fault::Broken)?;
            let begun = || seat.set_hope(Hope::Begun);
            // In a box, so that a link does not keep the memory of this.
            Box::pin(shake(&self.context, &security, Role::Back, socket, &begun)).await
        };
        let evicted = async {
            seat.evicted().await;
            Err(Fault::PushedOut)
        };
        let reactor = &self.context.reactor;
        let shaking = smol::future::or(shaking, evicted);
        let shaken = reactor.timeout(HANDSHAKE_LIMIT, shaking).await;
        shaken.unwrap_or(Err(Fault::HandshakeTimeout))
    }

    /// Of [`Acquaintances`].
    fn seconds(&self) -> u64 {
        let now = self.context.reactor.now();
        now.duration_since(self.started).as_secs()
    }

    /// With as many links as there may be, one makes room: of the peer with most,
    /// or else the newcomer.
    fn make_room(&self, newcomer: &Connection) {
        let links = self.links.borrow();
        if links.len() < self.most_links {
            return;
        }
        let peers: Vec<_> = links.iter().map(|link| origin(&link.connection)).collect();
        let leaving = match who_makes_room(&peers, origin(newcomer)) {
            Some(index) => links.get(index).map(|link| &*link.connection),
            None => Some(newcomer),
        };
        if let Some(leaving) = leaving {
            leaving.fail(Fault::TooMany);
        }
    }

    async fn drive(self: Rc<Self>, established: Established) {
        let (connection, mut driver) = Driver::new(&self.context, established);
        self.make_room(&connection);
        let how = connection.outlet.name();
        info!("linked to the front {} ({how})", connection.peer);
        let link = BackLink::new(self.backend.clone(), self.held.clone(), connection);
        self.context.metrics.links.inc();
        self.links.borrow_mut().push(link.clone());
        let fault = driver.run(&link).await;
        self.context.metrics.links.dec();
        self.links
            .borrow_mut()
            .retain(|one| !Rc::ptr_eq(one, &link));
        let clients = link.lose();
        let peer = &link.connection.peer;
        info!("the link to the front {peer} is lost: {fault}; its {clients} clients are dropped");
        self.changed.notify();
        self.context.metrics.link_ends.inc(fault.reason());
    }
}

/// Unix sockets of tests are all alike.
fn origin(connection: &Connection) -> Option<Origin> {
    let peer = connection.socket.peer_address().ok()?;
    Some(Origin::of(peer.ip()))
}

/// Which of the links at `peers` goes for a newcomer: the youngest of the peer
/// with most, if the newcomer's has fewer even then.
fn who_makes_room<P: Copy + Eq>(peers: &[P], newcomer: P) -> Option<usize> {
    let count = |peer: P| peers.iter().filter(|other| **other == peer).count();
    let indices = 0..peers.len();
    let most = indices.max_by_key(|index| peers.get(*index).map_or(0, |peer| count(*peer)))?;
    let is_unfair = count(*peers.get(most)?) > count(newcomer) + 1;
    is_unfair.then_some(most)
}

impl BackListener {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the port is free again, which is a moment after a drop.
    pub async fn close(self) {
        self.accepting.cancel().await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_youngest_of_the_peer_with_most_makes_room() {
        assert_eq!(who_makes_room(&[1, 1, 1, 2], 2), Some(2));
        assert_eq!(who_makes_room(&[1, 1, 2, 2, 1], 3), Some(4));
        assert_eq!(who_makes_room(&[1, 1, 2], 2), None);
        assert_eq!(who_makes_room(&[1, 2, 3], 4), None);
        assert_eq!(who_makes_room(&[1, 1, 1], 1), None);
    }

    proptest! {
        /// Whatever one peer does, another gets its share.
        #[test]
        fn every_peer_gets_its_share(
            most in 4usize..40,
            comers in proptest::collection::vec(0u8..4, 1..200),
        ) {
            let mut links: Vec<u8> = Vec::new();
            for peer in comers.into_iter().chain([9; 40]) {
                if links.len() < most {
                    links.push(peer);
                } else if let Some(index) = who_makes_room(&links, peer) {
                    links.remove(index);
                    links.push(peer);
                }
            }
            let count = links.iter().filter(|peer| **peer == 9).count();
            prop_assert!(count >= most / 5, "{count} of {most}");
        }
    }
}
