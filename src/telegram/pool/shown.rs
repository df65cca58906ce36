use std::net::SocketAddr;
use std::time::Duration;

use super::Pool;
use crate::wire::dc::DcId;

/// A connection to a middle proxy as the operator sees it.
pub(crate) struct ShownConnection {
    pub(crate) dc: DcId,
    pub(crate) address: SocketAddr,
    pub(crate) age: Duration,
    pub(crate) clients: usize,
    /// It is left to slow clients.
    pub(crate) is_lane: bool,
    /// A ping is unanswered for long.
    pub(crate) is_silent: bool,
}

impl Pool {
    pub(in crate::telegram) fn shown(&self) -> Vec<ShownConnection> {
        let (connections, now) = (self.connections.borrow(), self.shared.reactor.now());
        let shown = connections.iter().map(|connection| ShownConnection {
            dc: self.dc,
            address: connection.address(),
            age: now.saturating_duration_since(connection.opened()),
            clients: connection.load(),
            is_lane: connection.is_isolated(),
            is_silent: connection.is_silent(),
        });
        shown.collect()
    }
}
