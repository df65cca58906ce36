//! Links as the operator sees them.

use std::rc::Rc;
use std::time::Duration;

use super::connection::LinkConnection;

pub(crate) struct ShownLink {
    /// Who is at the other end, or is dialled.
    pub(crate) peer: String,
    /// What it is secured with; nothing where there is none at the moment.
    pub(crate) security: Option<&'static str>,
    pub(crate) state: LinkState,
    pub(crate) age: Option<Duration>,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) clients: usize,
    /// Why there is none.
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Up,
    /// A ping is unanswered for long: nobody new is put on it.
    Silent,
    /// It gets no more clients.
    Retired,
    /// It is dialled again and again.
    Down,
}

impl ShownLink {
    pub(super) fn of(connection: &Rc<LinkConnection>, clients: usize, is_retired: bool) -> Self {
        let (round_trip, age) = connection.round_trip_and_age();
        Self {
            peer: connection.peer.to_string(),
            security: Some(connection.outlet.name()),
            state: match (connection.is_silent(), is_retired) {
                (_, true) => LinkState::Retired,
                (true, false) => LinkState::Silent,
                (false, false) => LinkState::Up,
            },
            age: Some(age),
            round_trip,
            clients,
            fault: None,
        }
    }
}
