//! The back's half: takes links, and opens the sessions that fronts ask for.

mod early;
mod fronts;
mod inbound;
mod line;
mod link;
mod signal;
mod stream;
mod wish;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol::Task;

use super::driver::Driver;
use super::fault::Fault;
use super::handshake::{Established, shake};
use super::security::Security;
use super::{HANDSHAKE_LIMIT, LinkContext, prepare};
use crate::backend::Backend;
use crate::guard::half_open::HalfOpen;
use crate::log::Throttle;
use crate::net::{Listener, Notify, Socket};
use crate::wire::link::Role;
use fronts::Fronts;
use link::BackLink;

/// Links that have not proven themselves; one more pushes out the oldest.
const MAX_HALF_OPEN: usize = 64;

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
    fronts: Rc<Fronts>,
    changed: Notify,
    complaints: Throttle,
}

/// Accepts links until it is dropped.
pub struct BackListener {
    address: SocketAddr,
    accepting: Task<()>,
}

impl Back {
    pub fn new(context: LinkContext, security: Security, backend: Rc<dyn Backend>) -> Rc<Self> {
        Rc::new(Self {
            fronts: Fronts::new(&context),
            context: Rc::new(context),
            security: RefCell::new(Rc::new(security)),
            backend,
            half_open: HalfOpen::new(MAX_HALF_OPEN),
            changed: Notify::default(),
            complaints: Throttle::new(LOG_PERIOD),
        })
    }

    pub fn listen(self: &Rc<Self>, address: SocketAddr) -> io::Result<BackListener> {
        let listener = Listener::bind(&self.context.reactor, address)?;
        let address = listener.local_address()?;
        let accepting = self.clone().accept(listener);
        Ok(BackListener {
            address,
            accepting: self.context.executor.spawn(accepting),
        })
    }

    /// For links made from now on.
    pub fn reconfigure(&self, security: Security) {
        self.security.replace(Rc::new(security));
    }

    /// Ends every session and link.
    pub async fn close(&self) {
        for link in self.fronts.links() {
            link.connection.fail(Fault::Shutdown);
        }
        let gone = async {
            while !self.fronts.links().is_empty() {
                self.changed.changed().await;
            }
        };
        self.context.reactor.timeout(GOODBYE, gone).await;
    }

    async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok(socket) => {
                    let serving = self.clone().serve(socket);
                    self.context.executor.spawn(serving).detach();
                }
                Err(error) => {
                    warn!("cannot accept links: {error}; raise the limit of open files");
                    self.context.reactor.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, socket: Socket) {
        let peer = socket.peer_address();
        let peer = peer.map_or_else(|_| "a stranger".to_owned(), |address| address.to_string());
        let fault = match self.admit(socket).await {
            Ok(established) => self.drive(established).await,
            Err(fault) => {
                match self.complaints.pass() {
                    Some(0) => warn!("{peer} gets no link: {fault}"),
                    Some(more) => warn!("{peer} gets no link: {fault} ({more} more before)"),
                    None => debug!("{peer} gets no link: {fault}"),
                }
                fault
            }
        };
        self.context.metrics.link_ends.inc(fault.reason());
    }

    async fn admit(&self, socket: Socket) -> Result<Established, Fault> {
        prepare(&socket).map_err(Fault::Broken)?;
        let seat = self.half_open.enter();
        let security = self.security.borrow().clone();
        let shaking = async {
            // In a box, so that a link does not keep the memory of this.
            Box::pin(shake(&self.context, &security, Role::Back, socket)).await
        };
        let evicted = async {
            seat.evicted().await;
            Err(Fault::TooMany)
        };
        let reactor = &self.context.reactor;
        let shaking = smol::future::or(shaking, evicted);
        let shaken = reactor.timeout(HANDSHAKE_LIMIT, shaking).await;
        shaken.unwrap_or(Err(Fault::HandshakeTimeout))
    }

    async fn drive(self: &Rc<Self>, established: Established) -> Fault {
        let account = self.fronts.account(&established.name);
        let (connection, mut driver) = Driver::new(&self.context, established, account);
        let how = connection.outlet.name();
        info!("linked to the front {} ({how})", connection.peer);
        let link = BackLink::new(self.backend.clone(), &self.fronts, connection);
        self.context.metrics.links.inc();
        self.fronts.add(&link);
        let fault = driver.run(&link).await;
        self.context.metrics.links.dec();
        self.fronts.remove(&link);
        let clients = link.lose();
        let peer = &link.connection.peer;
        info!("the link to the front {peer} is lost: {fault}; its {clients} clients are dropped");
        self.changed.notify();
        fault
    }
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
