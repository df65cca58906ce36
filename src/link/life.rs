use std::time::{Duration, Instant};

/// After how much silence something is done about it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often each side asks whether the other is there.
    pub ping_every: Duration,
    /// Nothing heard for so long after a ping: new clients go elsewhere.
    pub doubt_after: Duration,
    /// A side that says nothing for so long is gone.
    pub silence_limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(5),
            doubt_after: Duration::from_secs(2),
            silence_limit: Duration::from_secs(15),
        }
    }
}

/// What is known of whether the other side of a link is there. Whatever is
/// heard proves it, not only a pong: that one may be behind much else.
#[derive(Clone, Copy)]
pub(super) struct Life {
    heard: Instant,
    next_ping: Instant,
    /// Since when nothing shows that the other side has got our ping.
    asked: Option<Instant>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing before then.
    Wait(Instant),
    Ping,
    Dead,
}

impl Life {
    /// A ping is due at once.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            next_ping: now,
            asked: None,
        }
    }

    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// The other side's kernel has made room for what ours had refused: it is
    /// there, and our ping may still be on its way.
    pub fn take(&mut self, now: Instant) {
        self.asked = self.asked.map(|_| now);
    }

    pub fn ping(&mut self, now: Instant, patience: &Patience) {
        self.next_ping = now + patience.ping_every;
        self.asked.get_or_insert(now);
    }

    pub fn look(&self, now: Instant, patience: &Patience) -> Step {
        let death = self.heard + patience.silence_limit;
        if now >= death {
            Step::Dead
        } else if now >= self.next_ping {
            Step::Ping
        } else {
            Step::Wait(self.next_ping.min(death))
        }
    }

    /// Nobody new should be put on the link.
    pub fn is_silent(&self, now: Instant, patience: &Patience) -> bool {
        self.asked
            .is_some_and(|asked| now >= asked + patience.doubt_after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A link that looks when it is told to, up to `until`; when it ended.
    fn pass(life: &mut Life, next: &mut Instant, until: Instant) -> Option<Instant> {
        let patience = Patience::default();
        while *next <= until {
            match life.look(*next, &patience) {
                Step::Wait(later) => {
                    assert!(later > *next, "it looks without end");
                    *next = later;
                }
                Step::Ping => life.ping(*next, &patience),
                Step::Dead => return Some(*next),
            }
        }
        None
    }

    #[test]
    fn a_busy_link_is_not_silent() {
        let patience = Patience::default();
        let start = Instant::now();
        let (mut life, mut next) = (Life::new(start), start);
        // Everything but the pong comes, or is taken.
        for second in 1..60 {
            let now = start + second * SECOND;
            assert_eq!(pass(&mut life, &mut next, now), None);
            match second % 2 {
                0 => life.hear(now),
                _ => life.take(now),
            }
            let soon = now + Duration::from_millis(900);
            assert!(!life.is_silent(soon, &patience));
        }
    }

    proptest! {
        /// However the other side talks before: from at most 7 s after its last
        /// word nobody new comes, and 15 s after it the link is dead.
        #[test]
        fn death_comes_on_time(words in proptest::collection::vec(1u64..12_000, 1..40)) {
            let patience = Patience::default();
            let start = Instant::now();
            let (mut life, mut next, mut now) = (Life::new(start), start, start);
            for pause in words {
                now += Duration::from_millis(pause);
                prop_assert_eq!(pass(&mut life, &mut next, now), None);
                life.hear(now);
                prop_assert!(!life.is_silent(now, &patience));
            }
            prop_assert_eq!(pass(&mut life, &mut next, now + 7 * SECOND), None);
            prop_assert!(life.is_silent(now + 7 * SECOND, &patience));
            let end = pass(&mut life, &mut next, now + 60 * SECOND);
            prop_assert_eq!(end, Some(now + patience.silence_limit));
        }
    }
}
