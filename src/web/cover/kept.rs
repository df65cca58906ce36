use std::rc::Rc;
use std::task::{Context, Waker};

use super::guests::Guest;
use crate::http::Connection;

/// A connection to the site, kept for one client's requests.
pub(super) struct KeptConnection {
    pub(super) connection: Rc<Connection>,
    /// Has come and is not handed on.
    pub(super) received: Vec<u8>,
    _guest: Guest,
}

impl KeptConnection {
    pub(super) fn new(connection: Connection, guest: Guest) -> Self {
        Self {
            connection: Rc::new(connection),
            received: Vec::new(),
            _guest: guest,
        }
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
