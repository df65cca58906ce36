use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use smol::Task;

use super::Front;
use super::back_address::Place;
use super::dial_backoff::{LIFE, Luck};
use super::link::FrontLink;
use crate::link::driver::Driver;
use crate::link::fault::Fault;
use crate::link::handshake::{Established, Part, shake};
use crate::link::{HANDSHAKE_LIMIT, prepare};
use crate::net::{Pause, Socket};

/// An address gets this long to answer where another one is left to try.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Between dials while clients wait for a link, at least.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps one link to a back, dialling again when it is lost, until it is
/// dropped or retired.
pub(super) struct Keeper {
    pub place: Rc<Place>,
    /// Before the next dial.
    pub pause: Rc<Pause>,
    link: Rc<RefCell<Weak<FrontLink>>>,
    keeping: Task<()>,
}

impl Keeper {
    pub fn start(front: &Rc<Front>, place: Rc<Place>) -> Self {
        let link = Rc::<RefCell<Weak<FrontLink>>>::default();
        let pause = Rc::<Pause>::default();
        let keeping = keep(front.clone(), place.clone(), pause.clone(), link.clone());
        Self {
            place,
            pause,
            link,
            keeping: front.context.executor.spawn(keeping),
        }
    }

    /// The link takes no more clients, and ends when those on it have left.
    pub fn retire(self) {
        let place = &self.place;
        let Some(link) = self.link.borrow().upgrade() else {
            info!("no longer dialling {place}");
            return;
        };
        let clients = link.load();
        info!("a link to {place} gets no more clients; {clients} stay until they leave");
        link.retire();
        self.keeping.detach();
    }
}

async fn keep(
    front: Rc<Front>,
    place: Rc<Place>,
    pause: Rc<Pause>,
    current: Rc<RefCell<Weak<FrontLink>>>,
) {
    let reactor = front.context.reactor.clone();
    let mut luck = Luck::default();
    let mut reloads = front.reloads.get();
    while !front.closed.get() {
        if front.reloads.get() != reloads {
            reloads = front.reloads.get();
            luck.forget_what_was_said();
        }
        let fault = match dial(&front, &place, Part::Front).await {
            Ok((address, established)) => {
                let (connection, mut driver) =
                    Driver::new(&front.context, established, front.account.clone());
                let link = FrontLink::new(Rc::downgrade(&front), connection);
                current.replace(Rc::downgrade(&link));
                let back = place.at(Some(address));
                let fault = drive(&front, &back, &link, &mut driver, &mut luck).await;
                current.take();
                if link.is_retired() {
                    front.context.metrics.link_ends.inc(fault.reason());
                    return;
                }
                fault
            }
            Err((address, fault)) => {
                let back = place.at(address);
                match luck.failed(&fault) {
                    true => warn!("no link to {back}: {fault}; trying on"),
                    false => debug!("no link to {back}: {fault}"),
                }
                fault
            }
        };
        front.context.metrics.link_ends.inc(fault.reason());
        pause.begin();
        if front.is_awaited() {
            pause.cut_short();
        }
        pause.wait(&reactor, SHORTEST_PAUSE, luck.pause()).await;
    }
}

pub(super) type Failed = (Option<SocketAddr>, Fault);

/// Tries the addresses of a back in turn; where none takes the link, says of
/// the first why, or of the first that answered.
pub(super) async fn dial(
    front: &Rc<Front>,
    place: &Rc<Place>,
    part: Part,
) -> Result<(SocketAddr, Established), Failed> {
    let found = place.addresses(&front.context).await;
    let addresses = found.map_err(|fault| (None, fault))?;
    let mut failed: Option<Failed> = None;
    let mut left = addresses.len();
    for address in addresses.iter().copied() {
        left -= 1;
        let patience = if left > 0 {
            CONNECT_LIMIT
        } else {
            HANDSHAKE_LIMIT
        };
        match connect(front, address, patience, part).await {
            Ok(established) => return Ok((address, established)),
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
    patience: Duration,
    part: Part,
) -> Result<Established, Fault> {
    let reactor = &front.context.reactor;
    let security = front.security.borrow().clone();
    if !security.allows(address) {
        return Err(Fault::PlainOnPublic);
    }
    let connecting = async {
        let connected = Socket::connect_within(reactor, address, patience).await;
        let socket = connected.map_err(Fault::Unreachable)?;
        prepare(&socket, &front.context.patience);
        shake(&front.context, &security, part, socket, &|| ()).await
    };
    let connected = reactor.timeout(HANDSHAKE_LIMIT, connecting).await;
    connected.unwrap_or(Err(Fault::HandshakeTimeout))
}

async fn drive(
    front: &Rc<Front>,
    back: &str,
    link: &Rc<FrontLink>,
    driver: &mut Driver,
    luck: &mut Luck,
) -> Fault {
    let how = link.connection.outlet.name();
    luck.linked();
    match luck.is_bad() {
        true => debug!("linked to the back {back} ({how})"),
        false => info!("linked to the back {back} ({how})"),
    }
    front.add(link);
    let reactor = &front.context.reactor;
    let began = reactor.now();
    let living = async {
        if luck.is_bad() {
            reactor.sleep(LIFE).await;
            info!("linked to the back {back} ({how}), and it lasts now");
        }
        std::future::pending().await
    };
    let fault = smol::future::or(driver.run(&**link), living).await;
    let lived = reactor.now().duration_since(began);
    luck.lost(&fault, lived, link.was_useful.get());
    front.remove(link);
    let clients = link.lose();
    if link.is_retired() && clients == 0 {
        info!("the link to {back} is closed: its last client has left");
    } else if matches!(fault, Fault::Shutdown) {
        debug!("the link to {back} is closed: this front is stopping");
    } else {
        let clients = format!("its {clients} clients are closed and come again");
        tell_loss(back, &fault, &clients, luck);
    }
    fault
}

fn tell_loss(back: &str, fault: &Fault, clients: &str, luck: &Luck) {
    if luck.has_turned_bad() {
        let life = LIFE.as_secs();
        warn!(
            "the link to {back} is lost: {fault}; {clients}; it is logged no more until one lasts \
             {life} s"
        );
    } else if luck.is_bad() {
        debug!("the link to {back} is lost: {fault}; {clients}");
    } else {
        warn!("the link to {back} is lost: {fault}; {clients}");
    }
}
