use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use smol::Task;

use super::Front;
use super::back_address::BackAddress;
use super::dial_backoff::{DialBackoff, LIFE};
use super::link::FrontLink;
use crate::link::driver::LinkDriver;
use crate::link::fault::Fault;
use crate::link::handshake::{Greeted, Part, shake};
use crate::link::{HANDSHAKE_LIMIT, prepare};
use crate::net::{Pause, Socket};

/// An address gets this long to answer while there is another one to try.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Between dials while clients wait for a link, at least.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Keeps one link to a back, dialling again when it is lost, until it is
/// dropped or retired.
pub(super) struct Keeper {
    pub(crate) target: Rc<BackAddress>,
    /// Before the next dial.
    pub(crate) pause: Rc<Pause>,
    state: Rc<State>,
    keeping: Task<()>,
}

/// What has come of it.
#[derive(Default)]
struct State {
    link: RefCell<Weak<FrontLink>>,
    /// Why there was no link last.
    #[cfg(feature = "ctl")]
    fault: RefCell<Option<String>>,
}

impl Keeper {
    pub(crate) fn start(front: &Rc<Front>, target: Rc<BackAddress>) -> Self {
        let state = Rc::<State>::default();
        let pause = Rc::<Pause>::default();
        let keeping = keep(front.clone(), target.clone(), pause.clone(), state.clone());
        Self {
            target,
            pause,
            state,
            keeping: front.context.executor.spawn(keeping),
        }
    }

    /// It has no link now; why that was not to be had last.
    #[cfg(feature = "ctl")]
    pub(super) fn missing(&self) -> Option<Option<String>> {
        let is_there = self.state.link.borrow().strong_count() > 0;
        (!is_there).then(|| self.state.fault.borrow().clone())
    }

    /// The link takes no more clients, and ends when those on it have left.
    pub(crate) fn retire(self) {
        let target = &self.target;
        let Some(link) = self.state.link.borrow().upgrade() else {
            info!("no longer dialling {target}");
            return;
        };
        let clients = link.load();
        info!("a link to {target} gets no more clients; {clients} stay until they leave");
        link.retire();
        self.keeping.detach();
    }
}

async fn keep(front: Rc<Front>, target: Rc<BackAddress>, pause: Rc<Pause>, state: Rc<State>) {
    let reactor = front.context.reactor.clone();
    let mut backoff = DialBackoff::default();
    let mut reloads = front.reloads.get();
    while !front.closed.get() {
        if front.reloads.get() != reloads {
            reloads = front.reloads.get();
            backoff.forget_what_was_said();
        }
        let fault = match dial(&front, &target, Part::Front).await {
            Ok((address, greeted)) => {
                let lacks_middle = greeted.lacks_middle;
                let (connection, mut driver) =
                    LinkDriver::new(&front.context, greeted, front.share.clone());
                let link = FrontLink::new(Rc::downgrade(&front), connection);
                link.lacks_middle.set(lacks_middle);
                state.link.replace(Rc::downgrade(&link));
                let back = target.at(Some(address));
                let fault = drive(&front, &back, &link, &mut driver, &mut backoff).await;
                state.link.take();
                if link.is_retired() {
                    front.context.metrics.link_ends.inc(fault.reason());
                    return;
                }
                fault
            }
            Err((address, fault)) => {
                let back = target.at(address);
                match backoff.failed(&fault) {
                    true => warn!("no link to {back}: {fault}; trying on"),
                    false => debug!("no link to {back}: {fault}"),
                }
                fault
            }
        };
        front.context.metrics.link_ends.inc(fault.reason());
        #[cfg(feature = "ctl")]
        state.fault.replace(Some(fault.to_string()));
        pause.begin();
        if front.is_awaited() {
            pause.cut_short();
        }
        pause.wait(&reactor, MIN_PAUSE, backoff.pause()).await;
    }
}

pub(super) type Failed = (Option<SocketAddr>, Fault);

/// Tries the addresses of a back in turn. If none takes the link, returns why the first
/// that answered did not, or, if none answered, the first of all.
pub(super) async fn dial(
    front: &Rc<Front>,
    target: &Rc<BackAddress>,
    part: Part,
) -> Result<(SocketAddr, Greeted), Failed> {
    let found = target.addresses(&front.context).await;
    let addresses = found.map_err(|fault| (None, fault))?;
    let mut failed: Option<Failed> = None;
    let mut left = addresses.len();
    for address in addresses.iter().copied() {
        left -= 1;
        let limit = if left > 0 {
            CONNECT_LIMIT
        } else {
            HANDSHAKE_LIMIT
        };
        match connect(front, address, limit, part).await {
            Ok(greeted) => return Ok((address, greeted)),
            Err(fault) => {
                let tells_more = match &failed {
                    None => true,
                    Some((_, Fault::Unreachable(_))) => !matches!(fault, Fault::Unreachable(_)),
                    Some(_) => false,
                };
                if tells_more {
                    failed = Some((Some(address), fault));
                }
            }
        }
    }
    Err(failed.unwrap_or_else(|| (None, Fault::Unresolved("it has no address".to_owned()))))
}

async fn connect(
    front: &Rc<Front>,
    address: SocketAddr,
    limit: Duration,
    part: Part,
) -> Result<Greeted, Fault> {
    let reactor = &front.context.reactor;
    let security = front.security.borrow().clone();
    if !security.allows(address) {
        return Err(Fault::PlainOnPublic);
    }
    let connecting = async {
        let connected = Socket::connect_within(reactor, address, limit).await;
        let socket = connected.map_err(Fault::Unreachable)?;
        prepare(&socket, &front.context.silence);
        shake(&front.context, &security, part, socket, &|| ()).await
    };
    let connected = reactor.timeout(HANDSHAKE_LIMIT, connecting).await;
    connected.unwrap_or(Err(Fault::HandshakeTimeout))
}

async fn drive(
    front: &Rc<Front>,
    back: &str,
    link: &Rc<FrontLink>,
    driver: &mut LinkDriver,
    backoff: &mut DialBackoff,
) -> Fault {
    let how = link.connection.outlet.name();
    backoff.linked();
    match backoff.is_bad() {
        true => debug!("linked to the back {back} ({how})"),
        false => info!("linked to the back {back} ({how})"),
    }
    front.add(link);
    let reactor = &front.context.reactor;
    let began = reactor.now();
    let living = async {
        if backoff.is_bad() {
            reactor.sleep(LIFE).await;
            info!("linked to the back {back} ({how}), and it lasts now");
        }
        std::future::pending().await
    };
    let fault = smol::future::or(driver.run(&**link), living).await;
    let lived = reactor.now().duration_since(began);
    backoff.lost(&fault, lived, link.was_useful.get());
    front.remove(link);
    let clients = link.lose();
    if link.is_retired() && clients == 0 {
        info!("the link to {back} is closed: its last client has left");
    } else if matches!(fault, Fault::Shutdown) {
        debug!("the link to {back} is closed: this front is stopping");
    } else {
        let clients = format!("its {clients} clients are closed and come again");
        tell_loss(back, &fault, &clients, backoff);
    }
    fault
}

fn tell_loss(back: &str, fault: &Fault, clients: &str, backoff: &DialBackoff) {
    if backoff.has_turned_bad() {
        let life = LIFE.as_secs();
        warn!(
            "the link to {back} is lost: {fault}; {clients}; it is logged no more until one lasts \
             {life} s"
        );
    } else if backoff.is_bad() {
        debug!("the link to {back} is lost: {fault}; {clients}");
    } else {
        warn!("the link to {back} is lost: {fault}; {clients}");
    }
}
