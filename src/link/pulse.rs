use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::net::Notify;
use crate::net::trunk::{Life, SilenceRules, Step};

/// A peer that answers later than this is not waited for as long.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Whether the other side of a link is there, and how far away it is.
///
/// Streams keep times on the link's clock, in milliseconds since it began: 4 bytes each.
pub(super) struct Pulse {
    life: Cell<Life>,
    /// Woken when a side that was silent speaks again.
    answered: Notify,
    began: Instant,
    /// How long the last ping took.
    round_trip: Cell<Duration>,
    /// When the first ping went out that is not answered, on the link's clock.
    pinged: Cell<Option<u32>>,
    /// When the kernel last took something, on the link's clock.
    wrote: Cell<u32>,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            life: Cell::new(Life::new(now)),
            answered: Notify::default(),
            began: now,
            round_trip: Cell::default(),
            pinged: Cell::new(None),
            wrote: Cell::new(0),
        }
    }

    /// A ping has gone out.
    pub(crate) fn ping(&self, now: Instant, rules: &SilenceRules) {
        let pinged = self.pinged.get().unwrap_or_else(|| self.clock(now));
        self.pinged.set(Some(pinged));
        self.change(now, rules, |life| life.ping(now));
    }

    /// A pong has come, with the number of its ping: the microseconds that it took.
    pub(crate) fn pong(&self, now: Instant, number: u64) -> u64 {
        let micros = self.micros(now).saturating_sub(number);
        self.round_trip.set(Duration::from_micros(micros));
        self.pinged.set(None);
        micros
    }

    /// How long the last ping took, if one was answered, and since when there is a link.
    #[cfg(feature = "ctl")]
    pub(crate) fn round_trip_and_age(&self, now: Instant) -> (Option<Duration>, Duration) {
        let round_trip = self.round_trip.get();
        let known = (!round_trip.is_zero()).then_some(round_trip);
        (known, now.saturating_duration_since(self.began))
    }

    /// Since the link began; the number of a ping that goes out now.
    pub(crate) fn micros(&self, now: Instant) -> u64 {
        now.duration_since(self.began).as_micros() as u64
    }

    /// Something came from the other side.
    pub(crate) fn hear(&self, now: Instant, rules: &SilenceRules) {
        self.change(now, rules, |life| life.hear(now));
    }

    /// The kernel, which had refused bytes, takes some again.
    pub(crate) fn take(&self, now: Instant, rules: &SilenceRules) {
        self.change(now, rules, |life| life.take(now));
    }

    /// What is to be done about the silence of the other side.
    pub(crate) fn look(&self, now: Instant, rules: &SilenceRules) -> Step {
        self.life.get().look(now, rules)
    }

    /// A ping is unanswered for so long that nobody new should be put on the link.
    pub(crate) fn is_silent(&self, now: Instant, rules: &SilenceRules) -> bool {
        self.life.get().is_silent(now, rules)
    }

    fn change(&self, now: Instant, rules: &SilenceRules, change: impl FnOnce(&mut Life)) {
        let was_silent = self.is_silent(now, rules);
        let mut life = self.life.get();
        change(&mut life);
        self.life.set(life);
        if was_silent && !self.is_silent(now, rules) {
            self.answered.notify();
        }
    }

    /// Completes when a side that was silent speaks again, or at the end.
    pub(crate) async fn answered(&self) {
        self.answered.changed().await;
    }

    /// The link is over: nobody waits for an answer any more.
    pub(crate) fn give_up(&self, now: Instant) {
        self.life.set(Life::new(now));
        self.answered.notify();
    }

    /// Milliseconds since the link began; they start anew after 49 days.
    pub(crate) fn clock(&self, now: Instant) -> u32 {
        now.duration_since(self.began).as_millis() as u32
    }

    /// When the link's clock last showed `clock`.
    pub(crate) fn instant(&self, now: Instant, clock: u32) -> Instant {
        now.checked_sub(self.since(now, clock)).unwrap_or(now)
    }

    fn since(&self, now: Instant, clock: u32) -> Duration {
        Duration::from_millis(self.clock(now).wrapping_sub(clock).into())
    }

    /// How long the last ping took, or the next one takes at least; at most a second.
    pub(crate) fn round_trip(&self, now: Instant) -> Duration {
        let waited = self.pinged.get().map(|pinged| self.since(now, pinged));
        let longer = self.round_trip.get().max(waited.unwrap_or_default());
        longer.min(MAX_ROUND_TRIP)
    }

    /// The kernel took bytes.
    pub(crate) fn set_wrote(&self, now: Instant) {
        self.wrote.set(self.clock(now));
    }

    /// When the kernel last took something.
    pub(crate) fn wrote(&self, now: Instant) -> Instant {
        self.instant(now, self.wrote.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_round_trip_is_the_last_one_or_how_long_an_answer_is_late() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let rules = crate::link::Silence::default().rules();
        let sent = start + SECOND;
        pulse.ping(sent, &rules);
        let later = |millis| sent + Duration::from_millis(millis);
        assert_eq!(pulse.pong(later(40), pulse.micros(sent)), 40_000);
        assert_eq!(pulse.round_trip(later(5000)), Duration::from_millis(40));
        // The first of two that are not answered counts.
        pulse.ping(later(5000), &rules);
        pulse.ping(later(5300), &rules);
        assert_eq!(pulse.round_trip(later(5020)), Duration::from_millis(40));
        assert_eq!(pulse.round_trip(later(5500)), Duration::from_millis(500));
        assert_eq!(pulse.round_trip(later(9000)), SECOND);
    }

    #[test]
    fn its_clock_starts_anew_after_49_days() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let anew = start + Duration::from_millis(1 << 32);
        let before = anew - SECOND;
        let clock = pulse.clock(before);
        let now = anew + SECOND;
        assert_eq!(pulse.clock(now), 1000);
        assert_eq!(pulse.instant(now, clock), before);
    }
}
