//! Clients as the operator sees them.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::ClientContext;
use super::out::ClientOut;
use super::sessions::Listed;
use super::sites::ShownSite;
use crate::guard::limits::SecretAccount;
use crate::metrics::{ClientKind, RouteKind};
use crate::wire::dc::DcId;

pub(crate) struct ShownClient {
    pub(crate) account: Option<Rc<SecretAccount>>,
    /// Nothing where it has just gone.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) kind: ClientKind,
    pub(crate) dc: DcId,
    /// Until its session is open there is none.
    pub(crate) route: Option<RouteKind>,
    pub(crate) age: Duration,
    /// Since something went either way.
    pub(crate) idle: Duration,
    /// That went either way.
    pub(crate) bytes: u64,
}

impl ClientContext {
    /// At most `most` of the sessions from the number `first` on, and the number at which
    /// the rest begins, if there is one.
    pub(crate) fn some_shown(
        &self,
        first: usize,
        most: usize,
    ) -> (Vec<ShownClient>, Option<usize>) {
        let mut shown = Vec::new();
        let next = self.sessions.look_from(first, |listed| {
            if let Some(out) = listed.out.upgrade() {
                shown.push(self.shown(listed, &out));
            }
            shown.len() < most
        });
        (shown, next)
    }

    fn shown(&self, listed: &Listed, out: &ClientOut) -> ShownClient {
        let now = self.reactor.now();
        let told = listed.told.as_deref().copied();
        ShownClient {
            account: out.account.clone(),
            address: told.or_else(|| out.end.peer_address()),
            kind: listed.kind,
            dc: listed.dc,
            route: listed.route,
            age: now.saturating_duration_since(listed.started),
            idle: now.saturating_duration_since(out.last_read.get().max(out.last_write())),
            bytes: out.bytes.get(),
        }
    }

    /// Those that strangers are connected to.
    pub(crate) fn shown_sites(&self) -> Vec<ShownSite> {
        self.sites.shown()
    }
}
