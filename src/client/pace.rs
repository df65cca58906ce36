use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::out::ClientOut;
use crate::metrics::CloseReason;
use crate::net::{Reactor, Timer};

/// How often a client that waits for buffers looks for some.
const STARVED_RETRY: Duration = Duration::from_millis(10);

/// How long a client that has hung up may go unread: what it said last is
/// handed on if its connection is only busy, not if that is stuck.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// The one timer of a client.
///
/// It is set when it fires or when something begins that has a deadline of its
/// own, never at a packet; firing, it looks at what happened since.
pub(super) struct Pace {
    timer: Timer,
    armed: Option<Armed>,
    pub last_read: Instant,
}

struct Armed {
    at: Instant,
    watched: Watched,
}

/// What has a deadline of its own.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    /// Keys are expanded.
    pub awake: bool,
    /// Something waits for the client to take it.
    pub undelivered: bool,
    /// The client began a packet and is free to go on with it.
    pub unfinished: bool,
    /// It is not for the client that nothing is read: the wait is not its own.
    pub held_up: bool,
    /// The client has hung up and is not read.
    pub gone: bool,
    /// Someone here waits for buffers.
    pub starved: bool,
    /// Nothing is read, to keep to a rate.
    pub paused: bool,
}

pub(super) enum Due {
    Close(CloseReason),
    Hibernate,
}

impl Pace {
    pub fn new(reactor: &Rc<Reactor>) -> Self {
        Self {
            timer: reactor.timer(),
            armed: None,
            last_read: reactor.now(),
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>, out: &ClientOut, watched: Watched) -> Poll<Due> {
        if out.is_awake_in_a_crowd() {
            return Poll::Ready(Due::Hibernate);
        }
        let now = out.context.reactor.now();
        if let Some(armed) = &self.armed
            && now < armed.at
            && armed.watched.covers(watched)
        {
            return Poll::Pending;
        }
        loop {
            let Some((mut at, due)) = self.next(out, watched) else {
                return Poll::Pending;
            };
            if at <= now {
                self.armed = None;
                return Poll::Ready(due);
            }
            if watched.starved {
                at = at.min(now + STARVED_RETRY);
            }
            if let Some(until) = out.paused_until() {
                at = at.min(until);
            }
            self.armed = Some(Armed { at, watched });
            self.timer.set(at);
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The first of the deadlines.
    fn next(&self, out: &ClientOut, watched: Watched) -> Option<(Instant, Due)> {
        let limits = out.context.limits.get();
        let mut last_active = self.last_read.max(out.last_write());
        if let Some(until) = out.paused_until() {
            last_active = last_active.max(until);
        }
        let after = |since: Instant, limit, due| Some((since.checked_add(limit)?, due));
        let send_timeout = limits.send_timeout;
        [
            after(
                last_active,
                limits.idle_timeout,
                Due::Close(CloseReason::IdleTimeout),
            )
            .filter(|_| !watched.held_up),
            after(last_active, limits.hibernate, Due::Hibernate).filter(|_| watched.awake),
            after(
                out.last_write(),
                send_timeout,
                Due::Close(CloseReason::SendTimeout),
            )
            .filter(|_| watched.undelivered),
            after(
                self.last_read,
                send_timeout,
                Due::Close(CloseReason::StalledPacket),
            )
            .filter(|_| watched.unfinished),
            after(
                self.last_read,
                LAST_WORDS,
                Due::Close(CloseReason::ClientClosed),
            )
            .filter(|_| watched.gone),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

impl Watched {
    /// Whether a timer set for `self` is early enough for `other`.
    fn covers(self, other: Self) -> bool {
        (self.awake || !other.awake)
            && (self.undelivered || !other.undelivered)
            && (self.unfinished || !other.unfinished)
            && (!self.held_up || other.held_up)
            && (self.gone || !other.gone)
            && (self.starved || !other.starved)
            && (self.paused || !other.paused)
    }
}
