use std::rc::Rc;

use super::Pool;
use crate::telegram::middle::MiddleConnection;
use crate::telegram::session::MiddleSession;

/// Which connections lead to Telegram, as far as is known, and what follows
/// from that for those who are to be put on one.
impl Pool {
    /// The best connection for a new session. One that does not answer is none:
    /// who is put on it may wait for long and is closed then. One that is left to
    /// slow clients is none either.
    pub(super) fn least_loaded(&self) -> Option<Rc<MiddleConnection>> {
        self.best(|one| !one.is_silent() && !one.is_isolated())
    }

    /// The best connection that may take one more session.
    pub(super) fn roomy(&self) -> Option<Rc<MiddleConnection>> {
        let limit = self.shared.pools().clients_per_connection;
        self.best(|one| self.is_good(one) && one.load() < limit)
    }

    /// The connection for slow sessions with the fewest of them.
    pub(super) fn lane(&self) -> Option<Rc<MiddleConnection>> {
        self.best(|one| !one.is_silent() && one.is_isolated())
    }

    /// A connection that answers, where no better one is to be had soon.
    pub(super) fn any(&self) -> Option<Rc<MiddleConnection>> {
        self.least_loaded().or_else(|| self.lane())
    }

    /// The connection for a session that loses its own.
    pub(super) fn next_connection(&self, session: &MiddleSession) -> Option<Rc<MiddleConnection>> {
        match session.is_slow(self.shared.reactor.now()) {
            true => self.lane(),
            false => self.least_loaded(),
        }
    }

    /// For a session that was there before: it loses nothing on a connection
    /// that does not answer while it says nothing itself.
    pub(super) fn settle_anywhere(&self, session: &Rc<MiddleSession>) {
        match self.any().or_else(|| self.best(|_| true)) {
            Some(connection) => self.settle(session, &connection),
            None => self.give_up(session),
        }
    }

    /// Takes a session that is about to say something off a connection that does
    /// not answer, if it loses nothing by that and there is a better one.
    pub(crate) fn leave_silence(
        &self,
        session: &Rc<MiddleSession>,
        connection: &MiddleConnection,
        conn_id: i64,
    ) -> bool {
        let Some(better) = self
            .next_connection(session)
            .filter(|_| connection.lets_go(session))
        else {
            return false;
        };
        connection.detach(conn_id, true);
        self.settle(session, &better);
        true
    }

    fn best(&self, is_fit: impl Fn(&MiddleConnection) -> bool) -> Option<Rc<MiddleConnection>> {
        let connections = self.connections.borrow();
        let fit = connections.iter().filter(|one| is_fit(one));
        fit.min_by_key(|one| (self.is_outdated(one), one.is_blocked(), one.load()))
            .cloned()
    }

    /// It answers, it is where Telegram is, and not left to slow clients.
    fn is_good(&self, connection: &MiddleConnection) -> bool {
        !connection.is_silent() && !connection.is_isolated() && !self.is_outdated(connection)
    }

    /// Telegram's list does not name it any more.
    fn is_outdated(&self, connection: &MiddleConnection) -> bool {
        let directory = &self.shared.directory;
        !directory.is_middle(self.dc, connection.address())
    }

    /// A new connection is good for some seconds at least, whatever Telegram does
    /// then: so those that fall silent do not make for many.
    pub(super) fn wants_connection(&self) -> bool {
        if self.closed.get() {
            return false;
        }
        if !self.parked.borrow().is_empty() {
            return true;
        }
        let connections = self.connections.borrow();
        let pools = self.shared.pools();
        let good = || connections.iter().filter(|one| self.is_good(one));
        match good().map(|one| one.load()).min() {
            None => {
                let is_left = |one: &Rc<MiddleConnection>| one.load() > 0 && self.is_outdated(one);
                pools.dc_connections > 0
                    || self.joining.get() > 0
                    || connections.iter().any(is_left)
            }
            Some(least) => {
                good().count() < pools.dc_connections || least >= pools.clients_per_connection
            }
        }
    }

    /// Now and then, and when a connection begins to answer again.
    pub(super) fn look_at_paths(self: &Rc<Self>) {
        self.changed.notify();
        self.keep_supplied();
    }

    /// Telegram has moved, and there is a connection to where it is now: one
    /// after the other, those to where it was are left. Without such a
    /// connection they stay: the list may be wrong.
    pub(super) fn should_leave(&self, connection: &Rc<MiddleConnection>) -> bool {
        let has_place = || {
            let connections = self.connections.borrow();
            connection.load() == 0 || connections.iter().any(|one| self.is_good(one))
        };
        self.is_outdated(connection) && self.leaving.borrow().strong_count() == 0 && has_place()
    }

    pub(super) fn leave(self: &Rc<Self>, connection: &Rc<MiddleConnection>) {
        let (dc, address) = (self.dc, connection.address());
        info!("DC {dc}: {address} is not in Telegram's list any more, its clients move");
        self.leaving.replace(Rc::downgrade(connection));
        self.retire(connection);
    }

    /// A connection is dead of which nothing was heard any more: says so, and
    /// whatever forgot it may have another address for us now.
    pub(super) fn tell_silence(
        &self,
        connection: &MiddleConnection,
        moved: usize,
        sessions: usize,
    ) {
        self.shared.address.doubt();
        let (dc, address) = (self.dc, connection.address());
        let now = self.shared.reactor.now();
        let silence = now.duration_since(connection.heard()).as_secs();
        let closed = sessions.saturating_sub(moved);
        say!(
            self.silences.pass(now),
            Warn,
            "DC {dc}: no answer from middle proxy {address} for {silence} s: a NAT or firewall on \
             the way forgot the connection, or the network is down; clients that wait for an \
             answer are closed and come again ({closed}), the others move ({moved})"
        );
    }
}
