use std::time::{Duration, Instant};

/// When the other side of a connection is asked whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// So often, whatever is heard.
    Every(Duration),
    /// When nothing was heard for so long.
    AfterSilence(Duration),
}

/// What is made of silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SilenceRules {
    pub(crate) ask: Ask,
    /// Nothing heard for so long after a ping: nobody new is put on the connection.
    pub(crate) doubt_after: Duration,
    /// Nothing heard for so long: the connection is dead. With [`Ask::Every`] that
    /// counts from the last word, with [`Ask::AfterSilence`] from the ping that got no
    /// answer.
    pub(crate) limit: Duration,
}

/// What is known of whether the other side is there. Whatever is heard proves it, not only
/// a pong: that one may be behind much else.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    opened: Instant,
    /// When the other side was last heard since then.
    heard: Option<Instant>,
    /// The last ping.
    pinged: Option<Instant>,
    /// Since when nothing shows that the other side has got our ping.
    asked: Option<Instant>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before then.
    Wait(Instant),
    Ping,
    Dead,
}

impl Life {
    /// With [`Ask::Every`] a ping is due at once.
    pub(crate) fn new(opened: Instant) -> Self {
        Self {
            opened,
            heard: None,
            pinged: None,
            asked: None,
        }
    }

    /// Something was heard since it was opened.
    pub(crate) fn is_proven(&self) -> bool {
        self.heard.is_some()
    }

    /// The last word of the other side, or the opening.
    pub(crate) fn heard(&self) -> Instant {
        self.heard.unwrap_or(self.opened)
    }

    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
        self.asked = None;
    }

    /// The other side's kernel has made room for what ours had refused: it is there, and
    /// our ping may still be on its way, behind a long queue.
    pub(crate) fn take(&mut self, now: Instant) {
        self.asked = self.asked.map(|_| now);
    }

    /// A ping goes out.
    pub(crate) fn ping(&mut self, now: Instant) {
        self.pinged = Some(now);
        self.asked.get_or_insert(now);
    }

    /// The other side is not read now: that nothing is heard proves nothing.
    pub(crate) fn excuse(&mut self) {
        self.asked = None;
    }

    pub(crate) fn look(&self, now: Instant, rules: &SilenceRules) -> Step {
        let (due, death) = match (rules.ask, self.asked) {
            (Ask::Every(interval), _) => {
                let next = self.pinged.map_or(self.opened, |pinged| pinged + interval);
                (Some(next), Some(self.heard() + rules.limit))
            }
            (Ask::AfterSilence(quiet), None) => (Some(self.heard() + quiet), None),
            (Ask::AfterSilence(_), Some(asked)) => (None, Some(asked + rules.limit)),
        };
        let is_over = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_over(death) {
            return Step::Dead;
        }
        let doubt = self.doubt(rules).filter(|doubt| now < *doubt);
        let next = [due, death, doubt].into_iter().flatten().min();
        match next {
            Some(next) if !is_over(due) => Step::Wait(next),
            _ => Step::Ping,
        }
    }

    /// A ping is unanswered for too long to put anybody new on the connection.
    pub(crate) fn is_silent(&self, now: Instant, rules: &SilenceRules) -> bool {
        self.doubt(rules).is_some_and(|doubt| now >= doubt)
    }

    fn doubt(&self, rules: &SilenceRules) -> Option<Instant> {
        Some(self.asked? + rules.doubt_after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules(ask: Ask) -> SilenceRules {
        SilenceRules {
            ask,
            doubt_after: 2 * SECOND,
            limit: 10 * SECOND,
        }
    }

    #[test]
    fn the_limit_counts_from_the_last_word_or_from_the_ping() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        for (ask, death) in [
            (Ask::Every(4 * SECOND), 11),
            (Ask::AfterSilence(4 * SECOND), 15),
        ] {
            let rules = rules(ask);
            let mut life = Life::new(start);
            assert!(!life.is_proven() && life.heard() == start);
            life.hear(at(1));
            assert!(life.is_proven() && life.heard() == at(1));
            life.ping(at(5));
            assert_eq!(life.look(at(5), &rules), Step::Wait(at(7)), "{ask:?}");
            assert!(!life.is_silent(at(6), &rules) && life.is_silent(at(7), &rules));
            let next = if ask == Ask::Every(4 * SECOND) {
                9
            } else {
                death
            };
            assert_eq!(life.look(at(7), &rules), Step::Wait(at(next)), "{ask:?}");
            assert_ne!(life.look(at(death - 1), &rules), Step::Dead);
            assert_eq!(life.look(at(death), &rules), Step::Dead);
            life.excuse();
            assert!(!life.is_silent(at(60), &rules));
        }
    }

    #[test]
    fn pings_go_out_at_intervals_or_in_silence_alone() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        let often = rules(Ask::Every(4 * SECOND));
        let seldom = rules(Ask::AfterSilence(4 * SECOND));
        let mut life = Life::new(start);
        assert_eq!(life.look(start, &often), Step::Ping);
        assert_eq!(life.look(start, &seldom), Step::Wait(at(4)));
        life.ping(start);
        life.hear(at(3));
        assert_eq!(life.look(at(3), &often), Step::Wait(at(4)));
        assert_eq!(life.look(at(4), &often), Step::Ping);
        assert_eq!(life.look(at(4), &seldom), Step::Wait(at(7)));
        assert_eq!(life.look(at(7), &seldom), Step::Ping);
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Hear,
        Take,
        Excuse,
        Nothing,
    }

    proptest! {
        /// Whatever happens: who looks when it is told to never looks in vain without end,
        /// is never told of a time that is over, and finds out about a silent side in time.
        #[test]
        fn silence_never_goes_on_for_long(
            is_often in any::<bool>(),
            deeds in proptest::collection::vec(
                (1u64..6_000, prop_oneof![
                    Just(Deed::Hear), Just(Deed::Take), Just(Deed::Excuse), Just(Deed::Nothing)
                ]),
                1..60,
            ),
        ) {
            let interval = 4 * SECOND;
            let ask = match is_often {
                true => Ask::Every(interval),
                false => Ask::AfterSilence(interval),
            };
            let rules = rules(ask);
            let mut now = Instant::now();
            let mut life = Life::new(now);
            // What shows last that the other side may be there.
            let mut sign = now;
            for (pause, deed) in deeds {
                let until = now + Duration::from_millis(pause);
                loop {
                    match life.look(now, &rules) {
                        Step::Wait(next) => {
                            prop_assert!(next > now);
                            if next > until {
                                break;
                            }
                            now = next;
                        }
                        Step::Ping => life.ping(now),
                        Step::Dead => {
                            prop_assert!(now >= sign + rules.limit);
                            prop_assert!(life.is_silent(now, &rules) || is_often);
                            return Ok(());
                        }
                    }
                    prop_assert!(now <= sign + interval + rules.limit, "it is dead by then");
                }
                now = until;
                match deed {
                    Deed::Hear => {
                        life.hear(now);
                        sign = now;
                    }
                    Deed::Take => {
                        life.take(now);
                        sign = if is_often { sign } else { now };
                    }
                    Deed::Excuse => {
                        life.excuse();
                        sign = if is_often { sign } else { now };
                    }
                    Deed::Nothing => {}
                }
            }
        }
    }
}
