use std::time::Duration;

use crate::net::trunk::{Ask, SilenceRules};

/// After how much silence something is done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A ping goes out after this, jittered up to twice as long.
    pub(crate) ping_after: Duration,
    /// The same on a connection that sessions are to leave: until Telegram is
    /// heard, its silence to a session does not let that one go.
    pub(crate) ping_after_leaving: Duration,
    /// A ping without any answer for so long: new sessions go elsewhere.
    pub(crate) doubt_after: Duration,
    /// For so long: the connection is dead.
    pub(crate) pong_limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(5),
            ping_after_leaving: Duration::from_secs(1),
            doubt_after: Duration::from_secs(2),
            pong_limit: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// `quiet`: after which silence a ping goes out next.
    pub(super) fn rules(&self, quiet: Duration) -> SilenceRules {
        SilenceRules {
            ask: Ask::AfterSilence(quiet),
            doubt_after: self.doubt_after,
            limit: self.pong_limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::net::trunk::{Life, Step};

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection that looks when it is told to.
    struct Watch {
        life: Life,
        patience: Patience,
        /// Silence that is asked about.
        quiet: Duration,
        next: Instant,
        end: Option<Instant>,
    }

    impl Watch {
        fn new(now: Instant, quiet: Duration) -> Self {
            Self {
                life: Life::new(now),
                patience: Patience::default(),
                quiet,
                next: now,
                end: None,
            }
        }

        fn rules(&self) -> SilenceRules {
            self.patience.rules(self.quiet)
        }

        /// Lets the time pass up to `until`.
        fn pass(&mut self, until: Instant, quiet: Duration) {
            while self.end.is_none() && self.next <= until {
                let now = self.next;
                match self.life.look(now, &self.rules()) {
                    Step::Wait(later) => {
                        assert!(later > now, "it looks without end");
                        self.next = later;
                    }
                    Step::Ping => {
                        self.life.ping(now);
                        self.quiet = quiet;
                    }
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
            watch.life.is_silent(now, &watch.rules())
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
            assert!(!watch.life.is_silent(soon, &watch.rules()));
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
            prop_assert!(watch.life.is_silent(doubt, &watch.rules()));
            let before = doubt - Duration::from_millis(1);
            prop_assert!(!watch.life.is_silent(before, &watch.rules()));
        }
    }
}
