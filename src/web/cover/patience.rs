use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::net::{Reactor, Timer};

/// How long nothing may move: longer than servers wait for anything themselves.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// Ends what does not move any more.
pub(super) struct Patience {
    reactor: Rc<Reactor>,
    timer: Timer,
    moved: u64,
    last_moved: Instant,
}

impl Patience {
    pub(super) fn new(reactor: &Rc<Reactor>) -> Self {
        Self {
            timer: reactor.timer(),
            last_moved: reactor.now(),
            reactor: reactor.clone(),
            moved: 0,
        }
    }

    /// Whether it is over. `moved`: what has moved since the beginning. Wakes the task
    /// when it may be.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>, moved: u64) -> bool {
        let now = self.reactor.now();
        if moved != self.moved {
            self.moved = moved;
            self.last_moved = now;
        }
        let end = self.last_moved + IDLE_LIMIT;
        // Not moved at every byte: it looks again when it fires.
        self.timer.set_earlier(end);
        while self.timer.poll_expired(cx).is_ready() {
            if end <= now {
                return true;
            }
            self.timer.set(end);
        }
        false
    }
}
