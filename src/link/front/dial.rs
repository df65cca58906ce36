use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Front;
use super::link::FrontLink;
use crate::link::driver::Driver;
use crate::link::fault::Fault;
use crate::link::handshake::{Established, shake};
use crate::link::{HANDSHAKE_LIMIT, prepare};
use crate::metrics::LinkEnd;
use crate::net::{Socket, random_part};
use crate::wire::link::Role;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Keeps one link to `back`, dialling again when it is lost.
pub(super) async fn keep(front: Rc<Front>, back: SocketAddr) {
    let reactor = front.context.reactor.clone();
    let mut retry = FIRST_RETRY;
    let mut said = None;
    while !front.closed.get() {
        let fault = match connect(&front, back).await {
            Ok(established) => {
                said = None;
                retry = FIRST_RETRY;
                drive(&front, back, established).await
            }
            Err(fault) => {
                complain(back, &fault, &mut said);
                fault
            }
        };
        front.context.metrics.link_ends.inc(fault.reason());
        reactor.sleep(jittered(retry)).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

/// Once for each reason, not once for each attempt.
fn complain(back: SocketAddr, fault: &Fault, said: &mut Option<LinkEnd>) {
    if said.replace(fault.reason()) == Some(fault.reason()) {
        debug!("no link to {back}: {fault}");
    } else {
        warn!("no link to {back}: {fault}; trying on");
    }
}

async fn connect(front: &Rc<Front>, back: SocketAddr) -> Result<Established, Fault> {
    let reactor = &front.context.reactor;
    let connecting = async {
        let socket = Socket::connect(reactor, back).await;
        let socket = socket.map_err(Fault::Unreachable)?;
        prepare(&socket).map_err(Fault::Unreachable)?;
        let security = front.security.borrow().clone();
        shake(&front.context, &security, Role::Front, socket).await
    };
    let connected = reactor.timeout(HANDSHAKE_LIMIT, connecting).await;
    connected.unwrap_or(Err(Fault::HandshakeTimeout))
}

async fn drive(front: &Rc<Front>, back: SocketAddr, established: Established) -> Fault {
    let (connection, mut driver) = Driver::new(&front.context, established);
    let how = if connection.is_plain { "plain" } else { "TLS" };
    info!("linked to the back {back} ({how})");
    let link = FrontLink::new(front, connection);
    front.add(&link);
    let fault = driver.run(&*link).await;
    front.remove(&link);
    let clients = link.lose();
    warn!("the link to {back} is lost: {fault}; its {clients} clients are closed and come again");
    fault
}

/// Something between `duration` and twice that.
fn jittered(duration: Duration) -> Duration {
    duration + random_part(duration)
}
