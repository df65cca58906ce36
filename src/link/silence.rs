use std::time::Duration;

use crate::net::trunk::{Ask, SilenceRules};

/// After how much silence something is done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// How often each side asks whether the other is there.
    pub(crate) ping_every: Duration,
    /// A ping that has no answer for so long: new clients go to other links.
    pub(crate) doubt_after: Duration,
    /// A side that says nothing for so long is gone.
    pub(crate) silence_limit: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(5),
            doubt_after: Duration::from_secs(2),
            silence_limit: Duration::from_secs(15),
        }
    }
}

impl Silence {
    pub(super) fn rules(&self) -> SilenceRules {
        SilenceRules {
            ask: Ask::Every(self.ping_every),
            doubt_after: self.doubt_after,
            limit: self.silence_limit,
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

    /// A link that looks when it is told to, up to `until`; when it ended.
    fn pass(life: &mut Life, next: &mut Instant, until: Instant) -> Option<Instant> {
        let silence = Silence::default().rules();
        while *next <= until {
            match life.look(*next, &silence) {
                Step::Wait(later) => {
                    assert!(later > *next, "it looks without end");
                    *next = later;
                }
                Step::Ping => life.ping(*next),
                Step::Dead => return Some(*next),
            }
        }
        None
    }

    #[test]
    fn a_busy_link_is_not_silent() {
        let silence = Silence::default().rules();
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
            assert!(!life.is_silent(soon, &silence));
        }
    }

    proptest! {
        /// However the other side talks before: from at most 7 s after its last
        /// word nobody new comes, and 15 s after it the link is dead.
        #[test]
        fn death_comes_on_time(words in proptest::collection::vec(1u64..12_000, 1..40)) {
            let silence = Silence::default().rules();
            let start = Instant::now();
            let (mut life, mut next, mut now) = (Life::new(start), start, start);
            for pause in words {
                now += Duration::from_millis(pause);
                prop_assert_eq!(pass(&mut life, &mut next, now), None);
                life.hear(now);
                prop_assert!(!life.is_silent(now, &silence));
            }
            prop_assert_eq!(pass(&mut life, &mut next, now + 7 * SECOND), None);
            prop_assert!(life.is_silent(now + 7 * SECOND, &silence));
            let end = pass(&mut life, &mut next, now + 60 * SECOND);
            prop_assert_eq!(end, Some(now + silence.limit));
        }
    }
}
