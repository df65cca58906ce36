use std::time::Duration;

use crate::link::fault::Fault;
use crate::metrics::LinkEnd;
use crate::net::{Backoff, Jitter};

const RETRIES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));

/// After a link that was short but of use to a client: its clients come again at once
/// and wait for the next link.
const USEFUL_RETRY: Duration = Duration::from_millis(200);

/// A link that lives for less is worth no more than a dial that failed: something
/// on the way may let each begin and cut it then.
pub(super) const LIFE: Duration = Duration::from_secs(10);

/// So many such links in a row are logged.
const TOLD: u32 = 3;

/// How the latest attempts at a link went: so long is the next one put off, and so much
/// is logged of it.
pub(super) struct DialBackoff {
    retries: Backoff,
    /// Links that did not live, in a row.
    short: u32,
    /// Why the last dial failed, if that is logged.
    said: Option<LinkEnd>,
}

impl Default for DialBackoff {
    fn default() -> Self {
        Self {
            retries: RETRIES,
            short: 0,
            said: None,
        }
    }
}

impl DialBackoff {
    /// There is a link.
    pub(crate) fn linked(&mut self) {
        if !self.is_bad() {
            self.said = None;
        }
    }

    /// The link is lost after it `lived` so long; whether it was of use to a client.
    pub(crate) fn lost(&mut self, fault: &Fault, lived: Duration, was_useful: bool) {
        if lived >= LIFE {
            *self = Self::default();
            return;
        }
        // The back has no room, and the next one will fare the same: it is logged once.
        if fault.reason() == LinkEnd::TooMany {
            self.short = self.short.max(TOLD - 1);
        }
        self.short = self.short.saturating_add(1);
        if was_useful {
            self.retries.hasten(USEFUL_RETRY);
        }
    }

    /// Links come and go so fast that they are not logged until one lives.
    pub(crate) fn is_bad(&self) -> bool {
        self.short >= TOLD
    }

    /// That has just begun: the last link to be logged has gone.
    pub(crate) fn has_turned_bad(&self) -> bool {
        self.short == TOLD
    }

    /// A dial has failed; whether that is logged: once for each reason, not once
    /// for each attempt.
    pub(crate) fn failed(&mut self, fault: &Fault) -> bool {
        self.said.replace(fault.reason()) != Some(fault.reason())
    }

    /// The person has changed something, and wants to know what came of it.
    pub(crate) fn forget_what_was_said(&mut self) {
        self.said = None;
    }

    /// How long to wait before the next dial: by chance the backoff, up to twice as long.
    pub(crate) fn pause(&mut self) -> Duration {
        Jitter::Double.of(self.retries.next_wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(pause: Duration, wanted: Duration) -> bool {
        pause >= wanted && pause <= wanted * 2
    }

    #[test]
    fn who_dies_young_is_dialled_less_and_less_often() {
        let mut backoff = DialBackoff::default();
        let mut wanted = RETRIES;
        for round in 0..20 {
            backoff.linked();
            backoff.lost(&Fault::Closed, Duration::from_secs(1), false);
            assert_eq!(backoff.is_bad(), round + 1 >= TOLD);
            assert_eq!(backoff.has_turned_bad(), round + 1 == TOLD);
            assert!(
                is_about(backoff.pause(), wanted.next_wait()),
                "round {round}"
            );
        }
        for _ in 0..3 {
            backoff.linked();
            backoff.lost(&Fault::Closed, Duration::from_secs(1), true);
            assert!(is_about(backoff.pause(), USEFUL_RETRY));
        }
        backoff.linked();
        backoff.lost(&Fault::Closed, LIFE, false);
        assert!(!backoff.is_bad());
        assert!(is_about(backoff.pause(), RETRIES.after(0)));
    }

    #[test]
    fn one_link_too_many_is_said_once() {
        let mut backoff = DialBackoff::default();
        for round in 0..4 {
            backoff.linked();
            backoff.lost(&Fault::TooMany, Duration::ZERO, false);
            assert!(backoff.is_bad());
            assert_eq!(backoff.has_turned_bad(), round == 0);
        }
    }

    #[test]
    fn a_reason_is_said_once_until_there_is_a_link() {
        let mut backoff = DialBackoff::default();
        for (round, told) in [3, 3, 3, 3, 2, 2].into_iter().enumerate() {
            let faults = [Fault::Silent, Fault::Closed, Fault::Closed, Fault::Silent];
            let said = faults.iter().filter(|fault| backoff.failed(fault)).count();
            assert_eq!(said, told, "round {round}");
            backoff.linked();
            backoff.lost(&Fault::Closed, Duration::ZERO, false);
        }
    }
}
