//! The beginning of a connection: what has come so far, and what is known by it.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::roll_call::MAX_WAIT;
use super::sites::{Ending, How, Manners};
use crate::metrics::RejectReason;
use crate::net::{Notify, Socket};
use crate::wire::after_flight::{AfterFlight, GivenUp};

/// Bytes that the site gets in one piece if they came so: a server that ends the
/// connection after a first piece answers the second one with a reset.
const MAX_AT_ONCE: u64 = 16 * 1024;

/// Nobody waits longer for the end of a client's handshake.
pub(super) const MAX_PATIENCE: Duration = Duration::from_secs(120);

/// The beginning of a connection, which its handshake and the site both have
/// to see.
#[derive(Default)]
pub(super) struct Opening {
    received: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
    is_known: Cell<bool>,
    /// It was answered, as a site of these manners does.
    answered: OnceCell<Rc<Manners>>,
    /// It was answered, or is known.
    settled: Notify,
    /// Hears what comes after the answer.
    after_flight: RefCell<AfterFlight>,
}

impl Opening {
    /// Lends what came so far.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        look(&mut self.received.borrow_mut())
    }

    /// Reads at most `wanted` bytes more; 0 is the end, or an error.
    pub(crate) async fn read(&self, socket: &Socket, wanted: usize) -> usize {
        poll_fn(|cx| {
            let mut received = self.received.borrow_mut();
            let start = received.len();
            received.resize(start + wanted, 0);
            let space = received.get_mut(start..).unwrap_or_default();
            let read = socket.poll_read(cx, space);
            let length = match &read {
                Poll::Ready(Ok(length)) => *length,
                _ => 0,
            };
            received.truncate(start + length);
            read.map(|read| {
                self.has_ended.set(matches!(read, Ok(0)));
                length
            })
        })
        .await
    }

    /// The peer has said its last.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Reads what else is there already.
    pub(crate) async fn read_waiting(&self, socket: &Socket) {
        let wanted = socket.waiting().min(MAX_AT_ONCE);
        if wanted > 0 {
            self.read(socket, wanted as usize).await;
        }
    }

    /// The peer has our answer. From here on it has to see the end that the site
    /// would make, by these manners: else it knows that we are no web server.
    pub(crate) fn answer(&self, manners: Rc<Manners>) {
        let after = AfterFlight::of(manners.judges_as);
        self.after_flight.replace(after);
        let _ = self.answered.set(manners);
        self.settled.notify();
    }

    /// `Some` once it was answered.
    pub(crate) fn manners(&self) -> Option<&Manners> {
        self.answered.get().map(Rc::as_ref)
    }

    /// What came after the answer.
    pub(crate) fn hear(&self, bytes: &[u8]) {
        self.after_flight.borrow_mut().hear(bytes);
    }

    /// What a server makes of what came after its answer if it cannot decrypt that;
    /// `None`: it waits for more.
    pub(crate) fn given_up(&self) -> Option<GivenUp> {
        self.after_flight.borrow().given_up()
    }

    /// The peer knows a secret: while it waits for its place the site has no say.
    pub(crate) fn known(&self) {
        self.is_known.set(true);
        self.settled.notify();
    }

    /// How long it may take in all, from accepting on; `limit` if nothing is known of
    /// it.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        let known = self.is_known.get().then_some(limit + MAX_WAIT);
        let answered = self.manners().map(|manners| patience(manners, limit));
        known.max(answered).unwrap_or(limit)
    }

    /// Waits until it is answered, or known.
    pub(crate) async fn settled(&self) {
        self.settled.until(|| self.is_settled()).await;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.manners().is_some() || self.is_known.get()
    }

    /// Whether a peer that is rejected for that goes to the site.
    pub(crate) fn concerns_site(&self, reason: RejectReason) -> bool {
        if matches!(
            reason,
            RejectReason::Evicted
                | RejectReason::TooManyClients
                | RejectReason::BadProxyHeader
                | RejectReason::Loop
        ) {
            // Neither a relay is a stranger, nor are we, nor is a client for whom there is no
            // place.
            return false;
        }
        let left = reason == RejectReason::Abandoned;
        let said_its_last = self.has_ended.get() && !self.received.borrow().is_empty();
        self.manners().is_none() && (!left || said_its_last)
    }
}

/// From accepting to the end of a handshake that was answered and does not go on:
/// at least `limit`, which is what a client on a bad line is given.
fn patience(manners: &Manners, limit: Duration) -> Duration {
    let Ending { after, how, .. } = manners.unfinished();
    let after = match how {
        How::Stays => MAX_PATIENCE,
        _ => after.min(MAX_PATIENCE),
    };
    after.max(limit)
}
