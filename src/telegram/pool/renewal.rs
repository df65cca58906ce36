//! Giving up connections: before Telegram closes several at once, and those that
//! nobody needs.

use std::rc::Rc;
use std::time::Duration;

use super::super::middle::Connection;
use super::Pool;

/// Connections this close in age would be rotated by Telegram together.
const STAGGER: Duration = Duration::from_secs(5);

/// The age at which one of two such connections is renewed, jittered up to
/// twice that; Telegram's own rotation starts at 30 s.
const RENEW_AGE: Duration = Duration::from_secs(10);

/// How long a pool has more connections than its sessions need before it
/// gives one up.
const SHRINK_AFTER: Duration = Duration::from_secs(60);

impl Pool {
    /// Called by each connection's task now and then.
    pub(super) fn tick(self: &Rc<Self>, connection: &Rc<Connection>) {
        if connection.is_draining() {
            for session in connection.take_quiet_sessions() {
                self.rehouse(session);
            }
            self.keep_supplied();
        } else if self.should_renew(connection) {
            debug!("DC {}: renewing a connection", self.dc);
            self.retire(connection);
        } else if self.should_shrink() {
            debug!("DC {}: giving up a connection", self.dc);
            self.retire(connection);
        }
    }

    /// Takes a connection out of service; its sessions leave one by one.
    fn retire(self: &Rc<Self>, connection: &Rc<Connection>) {
        self.remove(connection);
        connection.drain();
        self.keep_supplied();
    }

    /// Of connections that opened together, all but the first are renewed
    /// early, so that Telegram does not close them all at once.
    fn should_renew(&self, connection: &Rc<Connection>) -> bool {
        let age = self.shared.reactor.now() - connection.opened();
        if age < self.shared.jittered(RENEW_AGE) {
            return false;
        }
        let connections = self.connections.borrow();
        connections
            .iter()
            .take_while(|one| !Rc::ptr_eq(one, connection))
            .any(|older| connection.opened() - older.opened() < STAGGER)
    }

    fn should_shrink(&self) -> bool {
        let connections = self.connections.borrow();
        let settings = self.shared.settings.get();
        let count = connections.len();
        let sessions: usize = connections.iter().map(|one| one.load()).sum();
        let enough = count.saturating_sub(1) * settings.clients_per_connection / 2;
        // The last connection goes when nobody has used it for as long.
        let spare = sessions == 0 || (count > 1 && sessions <= enough);
        if count <= settings.dc_connections || !spare || self.joining.get() > 0 {
            self.roomy_since.set(None);
            return false;
        }
        let now = self.shared.reactor.now();
        let since = self.roomy_since.get().unwrap_or(now);
        self.roomy_since.set(Some(since));
        if now - since < SHRINK_AFTER {
            return false;
        }
        self.roomy_since.set(None);
        true
    }
}
