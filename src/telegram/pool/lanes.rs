//! Slow clients: the connections that are left to them, and who is cut. The
//! rules are in `super::super::slowness`.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Pool;
use crate::backend::SessionEnd;
use crate::log::Throttle;
use crate::metrics::ConnectionEnd;
use crate::telegram::middle::MiddleConnection;
use crate::telegram::session::MiddleSession;
use crate::telegram::slowness::{BEHIND_LIMIT, Blocker, ISOLATE_AFTER, MAX_LANES};

/// Between two lines of one kind about slow clients.
const SLOW_LOG_PERIOD: Duration = Duration::from_secs(10 * 60);

/// What is said about slow clients, of each kind now and then.
pub(super) struct SlowLines {
    isolations: Throttle,
    cuts: Throttle,
    given_up: Throttle,
}

impl Default for SlowLines {
    fn default() -> Self {
        let [isolations, cuts, given_up] = [(); 3].map(|()| Throttle::new(SLOW_LOG_PERIOD));
        Self {
            isolations,
            cuts,
            given_up,
        }
    }
}

impl Pool {
    fn tell(&self, throttle: &Throttle, line: fmt::Arguments<'_>) {
        say!(throttle.pass(self.shared.reactor.now()), Info, "{line}");
    }

    /// Called by each connection's task now and then, often while a client
    /// blocks it.
    pub(super) fn look_after(self: &Rc<Self>, connection: &Rc<MiddleConnection>) {
        let now = self.shared.reactor.now();
        if let Some(session) = connection.blocker() {
            self.judge(connection, &session, now);
        }
        if connection.is_isolated() {
            self.thin_out(connection, now);
        }
    }

    fn judge(
        self: &Rc<Self>,
        connection: &Rc<MiddleConnection>,
        session: &Rc<MiddleSession>,
        now: Instant,
    ) {
        let taking = session.sink().taking();
        connection.note_starved(taking.starved);
        if taking.starved {
            return;
        }
        session.blocks(now, &taking);
        let mut no_lane = false;
        if !connection.is_isolated() && connection.burden(now) >= ISOLATE_AFTER {
            no_lane = !self.may_be_lane(connection, now);
            if !no_lane {
                self.isolate(connection, now);
            }
        }
        if connection.is_isolated() {
            session.isolate();
        }
        if !connection.others_wait(session) {
            // Alone, a slow client only holds up itself, and its own time
            // limit sees to it.
            return;
        }
        let blocker = Blocker {
            lull: now.saturating_duration_since(taking.last),
            lag: taking.lag,
            reads: session.reads(now),
            no_lane,
        };
        let mut tolerance = self.tolerance.get();
        let is_out = tolerance.is_out(now, &blocker);
        self.tolerance.set(tolerance);
        if is_out {
            self.tell_cut();
            self.shared.metrics.slow_cuts.inc();
            session.end(SessionEnd::TooSlow);
        }
    }

    fn may_be_lane(&self, connection: &Rc<MiddleConnection>, now: Instant) -> bool {
        let connections = self.connections.borrow();
        let mut open = connections.iter().filter(|one| !one.is_isolated());
        if open.any(|one| !Rc::ptr_eq(one, connection) && !one.is_blocked() && !one.is_silent()) {
            return true;
        }
        let mut lanes = self.lanes.get();
        let may = lanes.may_open(now);
        self.lanes.set(lanes);
        may
    }

    pub(super) fn isolate(self: &Rc<Self>, connection: &Rc<MiddleConnection>, now: Instant) {
        let line = format_args!(
            "DC {}: a client takes its data more slowly than it comes, so its connection is left to \
             such clients and the others move on; if most clients are slow, it is \
             this machine's uplink",
            self.dc
        );
        self.tell(&self.slow_lines.isolations, line);
        self.shared.metrics.isolations.inc();
        connection.isolate(now);
        self.bound_lanes(connection, now);
    }

    /// There are no more than so many: the slowest one goes, and with it who
    /// is in the middle of an answer there.
    fn bound_lanes(&self, newest: &Rc<MiddleConnection>, now: Instant) {
        let connections = self.connections.borrow();
        let lanes = connections.iter().filter(|one| one.is_isolated());
        if lanes.clone().count() <= MAX_LANES {
            return;
        }
        let others = lanes.filter(|one| !Rc::ptr_eq(one, newest));
        if let Some(slowest) = others.min_by_key(|one| one.pace(now)) {
            self.tell_given_up();
            slowest.kill(ConnectionEnd::Slow);
        }
    }

    fn tell_cut(&self) {
        let line = format_args!(
            "DC {}: a client that took nothing while others waited for what is behind its data is \
             closed, and comes again; if that goes on, this machine's uplink is too \
             slow for them",
            self.dc
        );
        self.tell(&self.slow_lines.cuts, line);
    }

    fn tell_given_up(&self) {
        let line = format_args!(
            "DC {}: more than {MAX_LANES} connections are left to slow clients: the slowest is \
             closed, and who waited for an answer there asks again; if that goes on, this \
             machine's uplink is too slow for them",
            self.dc
        );
        self.tell(&self.slow_lines.given_up, line);
    }

    /// Lets those leave an isolated connection who are not slow, and those who
    /// are go on as they take their data.
    fn thin_out(self: &Rc<Self>, connection: &Rc<MiddleConnection>, now: Instant) {
        let is_slow = |session: &MiddleSession| session.is_slow(now);
        let is_quick = |session: &MiddleSession| !session.is_slow(now);
        if connection.sessions_where(is_slow).is_empty() {
            connection.restore();
            self.changed.notify();
            return;
        }
        let company = connection.load() > 1;
        if company && (self.least_loaded().is_some() || !self.is_late()) {
            let since = connection.isolated_since().unwrap_or(now);
            let is_late = now >= since + BEHIND_LIMIT;
            let heard = connection.heard_out();
            connection.hold_packets();
            let leaves = |one: &MiddleSession| is_quick(one) && (is_late || !one.is_in_bulk(heard));
            for session in connection.take_quiet_sessions(leaves) {
                self.rehouse(session);
            }
            if is_late {
                for session in connection.sessions_where(is_quick) {
                    connection.lose(&session, SessionEnd::MidSend);
                }
            }
        } else {
            // There is nowhere to go.
            connection.release(is_quick);
        }
        let may_go_on = !company || !connection.is_blocked() || connection.is_starved();
        if may_go_on && !connection.is_draining() {
            connection.release(is_slow);
        }
        self.keep_supplied();
    }
}
