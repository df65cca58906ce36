//! How often the sessions of a full secret are asked whether they are still there.

use std::time::Duration;

/// How many newcomers of one secret wait at a time. An app opens up to eight
/// connections at once.
const MAX_WAITING: u32 = 16;

/// Between the end of one call and the next: each costs every phone of the secret a
/// packet, for which it wakes its radio.
const MIN_REST: Duration = Duration::from_secs(5);

/// The same where call after call finds everybody there.
const MAX_REST: Duration = Duration::from_secs(60);

/// When the sessions of a secret that is full are asked whether they are still
/// there, and how many newcomers wait for the outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RollCall {
    is_running: bool,
    waiting: u32,
    rest: Duration,
    /// Not before; the caller's clock.
    next: Duration,
}

/// What a newcomer may do for whom there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Call the roll, and wait for the outcome.
    Calls,
    /// Wait for the outcome of the call that is running.
    Waits,
    /// Go.
    Goes,
}

impl RollCall {
    /// A newcomer finds no place. Who does not have to go [leaves](Self::leave)
    /// later; who calls also [ends](Self::end) the call.
    pub(crate) fn come(&mut self, now: Duration) -> Next {
        let next = match self.is_running {
            _ if self.waiting >= MAX_WAITING => Next::Goes,
            true => Next::Waits,
            false if now >= self.next => Next::Calls,
            false => Next::Goes,
        };
        if next != Next::Goes {
            self.is_running = true;
            self.waiting += 1;
        }
        next
    }

    /// A newcomer waits no more.
    pub(crate) fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// `some_were_gone`: not everybody was there.
    pub(crate) fn end(&mut self, now: Duration, some_were_gone: bool) {
        self.rest = match some_were_gone {
            true => MIN_REST,
            false => (self.rest * 2).clamp(MIN_REST, MAX_REST),
        };
        self.next = now.saturating_add(self.rest);
        self.is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn calls_that_find_everybody_become_rare() {
        let mut roll = RollCall::default();
        let mut begun = Vec::new();
        for second in 0..300 {
            if roll.come(at(second)) == Next::Calls {
                begun.push(second);
                assert_eq!(roll.come(at(second)), Next::Waits);
                roll.leave();
                roll.leave();
                roll.end(at(second), false);
            }
        }
        assert_eq!(begun, [0, 5, 15, 35, 75, 135, 195, 255]);
        assert_eq!(roll.come(at(400)), Next::Calls);
        roll.leave();
        roll.end(at(400), true);
        assert_eq!(roll.come(at(404)), Next::Goes);
        assert_eq!(roll.come(at(405)), Next::Calls);
    }

    proptest! {
        /// One that knocks all the time, in whatever way, makes no more calls and
        /// lets no more wait than there may.
        #[test]
        fn nobody_makes_us_call_for_ever(
            steps in proptest::collection::vec((0u64..5000, 0u8..4, any::<bool>()), 1..300),
        ) {
            let (mut roll, mut now) = (RollCall::default(), Duration::ZERO);
            let (mut waiting, mut running, mut calls) = (0, false, 0u128);
            for (millis, step, gone) in steps {
                now += Duration::from_millis(millis);
                match step {
                    0 if running => {
                        running = false;
                        roll.end(now, gone);
                    }
                    1 if waiting > 0 => {
                        waiting -= 1;
                        roll.leave();
                    }
                    _ => match roll.come(now) {
                        Next::Calls => {
                            prop_assert!(!running);
                            running = true;
                            waiting += 1;
                            calls += 1;
                        }
                        Next::Waits => {
                            prop_assert!(running);
                            waiting += 1;
                        }
                        Next::Goes => prop_assert!(!running || waiting == MAX_WAITING),
                    },
                }
                prop_assert!(waiting <= MAX_WAITING);
                prop_assert!(calls <= 1 + now.as_millis() / MIN_REST.as_millis());
            }
        }
    }
}
