//! WEB on the ports of clients: whoever is no client there and asks for a host of WEB gets
//! what a web server with that host is.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::peer::Peer;
use super::registry::Place;
use super::sites::{Guest, Judgement};
use crate::net::Socket;
use crate::wire::secret::Domain;

/// Who serves WEB hosts.
pub(crate) trait WebDoor {
    /// Whether it serves whoever asks for `sni`; `None`: who names nobody, whose hello
    /// cannot be read, or who says none. The host of all who ask for no other one takes
    /// every name, and `None` too. `received` is all that came of it so far.
    fn takes(&self, sni: Option<&Domain>, received: &[u8]) -> bool;

    /// Serves the visitor to its end.
    fn serve(&self, visitor: WebVisitor) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// Who comes through the door.
pub(crate) struct WebVisitor {
    pub(crate) socket: Socket,
    /// What was read of it: a hello and perhaps more, the beginning of one, or anything
    /// else.
    pub(crate) received: Vec<u8>,
    /// From then on a web server counts its time limits.
    pub(crate) accepted: Instant,
    pub(crate) peer: Peer,
    pub(crate) standing: Rc<WebStanding>,
}

/// What a visitor counts as. At first it has a seat among those who have proven nothing,
/// which whoever comes later may take; what serves it ends then, if it has not
/// [proven](Self::prove) a secret.
pub(crate) struct WebStanding {
    place: Place,
    peer: Peer,
    guest: Cell<Option<Guest>>,
}

impl WebStanding {
    pub(super) fn new(place: Place, peer: Peer, guest: Option<Guest>) -> Rc<Self> {
        let standing = Self {
            place,
            peer,
            guest: Cell::new(None),
        };
        if guest.is_some() {
            standing.sit_as(guest);
        }
        Rc::new(standing)
    }

    /// Its connection has proven a secret: from here on nobody pushes it out, and it is
    /// for WEB to count. What it goes on with belongs to the executor of clients: this
    /// one is that of strangers, who get a step a turn.
    pub(crate) fn prove(&self) {
        self.guest.take();
        if self.place.leave_unproven() {
            let context = self.place.context();
            let now = context.reactor.now();
            context.gate.acquaint(self.peer.client.ip(), now);
        }
    }

    /// It is shown the cover, as a stranger is shown the site, and gives its seat back
    /// while there is a place for one more guest. Without one it keeps the seat.
    pub(crate) fn become_guest(&self) {
        let guest = self.guest.take();
        let sites = &self.place.context().sites;
        self.sit_as(guest.or_else(|| Guest::take(sites, Judgement::Stranger)));
    }

    fn sit_as(&self, guest: Option<Guest>) {
        match guest.is_some() {
            true => self.place.go_to_site(),
            false => self.place.stay_as_guest(),
        }
        self.guest.set(guest);
    }

    pub(super) async fn evicted(&self) {
        poll_fn(|cx| self.poll_evicted(cx)).await;
    }

    fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.place.poll_evicted(cx)
    }
}
