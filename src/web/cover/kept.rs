use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::guests::Guest;
use crate::http::Connection;

/// A connection to the site, kept for one client's requests.
pub(super) struct KeptConnection {
    pub(super) connection: Rc<Connection>,
    /// Has come and is not handed on.
    pub(super) received: Vec<u8>,
    guest: Guest,
    /// Whom the site was told of, if it is told of anybody.
    told: Option<SocketAddr>,
}

impl KeptConnection {
    /// For a client of which the site was `told`.
    pub(super) fn new(connection: Connection, guest: Guest, told: Option<SocketAddr>) -> Self {
        Self {
            connection: Rc::new(connection),
            received: Vec::new(),
            guest,
            told,
        }
    }

    /// What is asked on it is `client`'s from here on, if the site knows of no other one
    /// and this one may have a connection more.
    pub(super) fn pass_to(&mut self, client: SocketAddr) -> bool {
        let knows_other = self.told.is_some_and(|told| told.ip() != client.ip());
        !knows_other && self.guest.pass_to(client.ip())
    }

    /// The site has ended it, as far as is known.
    pub(super) fn has_ended(&self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.poll_ended(&mut nobody)
    }

    /// The same; wakes the task when that changes.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> bool {
        self.connection.socket().poll_hung_up(cx).is_ready()
    }
}
