use std::time::{Duration, Instant};

/// After how much silence something is done about it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A ping goes out after this, jittered up to twice as long.
    pub ping_after: Duration,
    /// The same on a draining connection: until Telegram is heard, its silence
    /// to a session does not let that one go.
    pub ping_after_draining: Duration,
    /// A ping without any answer for so long: new sessions go elsewhere.
    pub doubt_after: Duration,
    /// For so long: the connection is dead.
    pub pong_limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(5),
            ping_after_draining: Duration::from_secs(1),
            doubt_after: Duration::from_secs(2),
            pong_limit: Duration::from_secs(10),
        }
    }
}

/// What one connection knows of whether Telegram is there.
#[derive(Clone, Copy)]
pub(super) struct Life {
    opened: Instant,
    /// When Telegram was last heard since the handshake.
    heard: Option<Instant>,
    /// When its kernel last made room for what ours had refused: it is there,
    /// though our ping may be behind a long queue.
    took: Option<Instant>,
    /// When the ping went out that nothing was heard after.
    pinged: Option<Instant>,
    /// Silence that is asked about.
    quiet: Duration,
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
    pub fn new(opened: Instant, quiet: Duration) -> Self {
        Self {
            opened,
            heard: None,
            took: None,
            pinged: None,
            quiet,
        }
    }

    pub fn is_proven(&self) -> bool {
        self.heard.is_some()
    }

    /// The last word of Telegram, or the handshake.
    pub fn heard(&self) -> Instant {
        self.heard.unwrap_or(self.opened)
    }

    pub fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
        self.pinged = None;
    }

    pub fn take(&mut self, now: Instant) {
        self.took = Some(now);
    }

    /// A ping went out; the next silence is asked about after `quiet`.
    pub fn ping(&mut self, now: Instant, quiet: Duration) {
        self.pinged = Some(now);
        self.quiet = quiet;
    }

    /// Telegram is not read now: that nothing is heard proves nothing.
    pub fn excuse(&mut self) {
        self.pinged = None;
    }

    pub fn look(&self, now: Instant, patience: &Patience, is_draining: bool) -> Step {
        let Some(since) = self.unanswered_since() else {
            let quiet = match is_draining {
                true => patience.ping_after_draining,
                false => self.quiet,
            };
            let due = self.heard() + quiet;
            return if now < due {
                Step::Wait(due)
            } else {
                Step::Ping
            };
        };
        let (doubt, death) = (since + patience.doubt_after, since + patience.pong_limit);
        if now >= death {
            Step::Dead
        } else if now < doubt {
            Step::Wait(doubt)
        } else {
            Step::Wait(death)
        }
    }

    /// A ping is unanswered for too long to put anybody new on the connection.
    pub fn is_silent(&self, now: Instant, patience: &Patience) -> bool {
        let since = self.unanswered_since();
        since.is_some_and(|since| now >= since + patience.doubt_after)
    }

    fn unanswered_since(&self) -> Option<Instant> {
        let pinged = self.pinged?;
        Some(self.took.map_or(pinged, |took| took.max(pinged)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection that looks when it is told to.
    struct Watch {
        life: Life,
        patience: Patience,
        next: Instant,
        end: Option<Instant>,
    }

    impl Watch {
        fn new(now: Instant, quiet: Duration) -> Self {
            Self {
                life: Life::new(now, quiet),
                patience: Patience::default(),
                next: now,
                end: None,
            }
        }

        /// Lets the time pass up to `until`.
        fn pass(&mut self, until: Instant, quiet: Duration) {
            while self.end.is_none() && self.next <= until {
                let now = self.next;
                match self.life.look(now, &self.patience, false) {
                    Step::Wait(later) => {
                        assert!(later > now, "it looks without end");
                        self.next = later;
                    }
                    Step::Ping => self.life.ping(now, quiet),
                    Step::Dead => self.end = Some(now),
                }
            }
        }
    }

    #[test]
    fn silence_is_asked_about_doubted_and_ended_on_time() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 5 * SECOND);
        watch.pass(start + 5 * SECOND, 9 * SECOND);
        let silent = |watch: &Watch, after| {
            let now = start + after * SECOND;
            watch.life.is_silent(now, &watch.patience)
        };
        assert!(!silent(&watch, 6));
        assert!(silent(&watch, 7));
        watch.life.hear(start + 8 * SECOND);
        assert!(!silent(&watch, 8));
        watch.pass(start + 60 * SECOND, 5 * SECOND);
        assert_eq!(watch.end, Some(start + 27 * SECOND));
    }

    #[test]
    fn a_ping_behind_a_long_queue_has_time() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 5 * SECOND);
        for second in (6..60).step_by(3) {
            watch.pass(start + second * SECOND, 5 * SECOND);
            watch.life.take(start + second * SECOND);
            let soon = start + (second + 1) * SECOND;
            assert!(!watch.life.is_silent(soon, &watch.patience));
        }
        assert_eq!(watch.end, None);
        watch.pass(start + 100 * SECOND, 5 * SECOND);
        assert_eq!(watch.end, Some(start + 67 * SECOND));
    }

    proptest! {
        /// However Telegram talks before: 15 to 20 s after its last word the
        /// connection ends, and for the last 8 of them nobody new is put on it.
        #[test]
        fn death_comes_between_15_and_20_s_after_the_last_word(
            words in proptest::collection::vec((1u64..9_000, 5_000u64..10_000), 1..40),
        ) {
            let start = Instant::now();
            let mut watch = Watch::new(start, 5 * SECOND);
            let mut now = start;
            for (pause, quiet) in &words {
                now += Duration::from_millis(*pause);
                watch.pass(now, Duration::from_millis(*quiet));
                prop_assert_eq!(watch.end, None);
                watch.life.hear(now);
            }
            watch.pass(now + 60 * SECOND, 5 * SECOND);
            let end = watch.end.expect("it ends");
            let silence = end - now;
            prop_assert!(silence >= 15 * SECOND && silence <= 20 * SECOND, "{silence:?}");
            let doubt = end - 8 * SECOND;
            prop_assert!(watch.life.is_silent(doubt, &watch.patience));
            let before = doubt - Duration::from_millis(1);
            prop_assert!(!watch.life.is_silent(before, &watch.patience));
        }
    }
}
