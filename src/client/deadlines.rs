//! What a relay waits for, and until when.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::out::ClientOut;
use crate::metrics::CloseReason::{self, ClientClosed, IdleTimeout, SendTimeout, StalledPacket};
use crate::net::{Reactor, Timer};

/// How often a client that waits for buffers looks for some.
const STARVED_RETRY: Duration = Duration::from_millis(10);

/// How long a client that has hung up may go unread: what it said last is
/// handed on if its connection is only busy, not if that is stuck.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often the kernel is asked whether it takes more of what waits for a
/// client: by itself it says so only when a third of what it holds is gone,
/// which takes half a minute at 50 KB/s.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The one timer of a client.
///
/// It is set when it fires or when something begins that has a deadline of its
/// own, never at a packet; firing, it looks at what happened since.
pub(super) struct Deadlines {
    timer: Timer,
    armed: Option<Armed>,
}

struct Armed {
    at: Instant,
    watched: Watched,
}

/// What has a deadline of its own.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    /// Keys are expanded.
    pub(crate) awake: bool,
    /// Something waits for the client to take it.
    pub(crate) undelivered: bool,
    /// The client began a packet and is free to go on with it.
    pub(crate) unfinished: bool,
    /// Nothing is read because of us or Telegram: the client is not idle, it has to
    /// wait.
    pub(crate) held_up: bool,
    /// The client has hung up and is not read.
    pub(crate) gone: bool,
    /// Someone here waits for buffers.
    pub(crate) starved: bool,
    /// Nothing is read, to keep to a rate.
    pub(crate) paused: bool,
    /// Something waits for what it may share a record with.
    pub(crate) held: bool,
}

pub(super) enum Due {
    Close(CloseReason),
    Hibernate,
    LetGo,
}

impl Deadlines {
    pub(crate) fn new(reactor: &Rc<Reactor>) -> Self {
        Self {
            timer: reactor.timer(),
            armed: None,
        }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        out: &ClientOut,
        watched: Watched,
    ) -> Poll<Due> {
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
            let Some((at, due)) = self.next(out, watched, now) else {
                return Poll::Pending;
            };
            if let Some(due) = due.filter(|_| at <= now) {
                self.armed = None;
                return Poll::Ready(due);
            }
            self.armed = Some(Armed { at, watched });
            self.timer.set(at);
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The first of the deadlines; `None` is due when it is only time to look
    /// again.
    fn next(
        &self,
        out: &ClientOut,
        watched: Watched,
        now: Instant,
    ) -> Option<(Instant, Option<Due>)> {
        let config = &out.context.config;
        let limits = config.with(|c| (c.idle_timeout, c.send_timeout, c.hibernate));
        let (idle_timeout, send_timeout, hibernate) = limits;
        let (last_read, last_write) = (out.last_read.get(), out.last_write());
        let mut last_active = last_read.max(last_write);
        let mut first = None;
        let mut watch = |since: Instant, limit, due| {
            if let Some(at) = since.checked_add(limit)
                && first.as_ref().is_none_or(|(first, _)| at < *first)
            {
                first = Some((at, due));
            }
        };
        if let Some(until) = out.paused_until() {
            last_active = last_active.max(until);
            watch(until, Duration::ZERO, None);
        }
        if watched.starved {
            watch(now, STARVED_RETRY, None);
        }
        if let Some(until) = out.held_until() {
            watch(until, Duration::ZERO, Some(Due::LetGo));
        }
        if !watched.held_up {
            watch(last_active, idle_timeout, close(IdleTimeout));
        }
        if watched.awake {
            watch(last_active, hibernate, Some(Due::Hibernate));
        }
        if watched.undelivered {
            watch(last_write, send_timeout, close(SendTimeout));
            watch(now, ASK_AGAIN, None);
        }
        if watched.unfinished {
            watch(last_read, send_timeout, close(StalledPacket));
        }
        if watched.gone {
            watch(last_read, LAST_WORDS, close(ClientClosed));
        }
        first
    }
}

fn close(reason: CloseReason) -> Option<Due> {
    Some(Due::Close(reason))
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
            && (self.held || !other.held)
    }
}
