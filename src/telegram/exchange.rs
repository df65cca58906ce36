use std::time::{Duration, Instant};

use crate::backend::SessionEnd;

/// How long a session that hears nothing counts as waiting for its answers.
/// What has none after that (an acknowledgement, say) is taken to need none.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(3);

/// Whoever gets an answer of so many bytes often gets more of them.
const BULK: usize = 32 * 1024;

/// What is under way between a session and Telegram on one connection.
///
/// Telegram does not answer packet for packet: an acknowledgement has no
/// answer, two requests may share one, an update answers nobody. So the count
/// is believed only as long as something moves.
#[derive(Clone, Copy, Default)]
pub(super) struct Exchange {
    /// Packets without an answer yet.
    unanswered: u32,
    /// When the last packet was framed or the last answer ended.
    moved: Option<Instant>,
    /// Where the last packet ends in the bytes of the connection.
    sent_to: u64,
    in_answer: bool,
    /// The last answer was a large one.
    in_bulk: bool,
}

impl Exchange {
    /// A packet was framed, up to `end`; it is on its way from now on.
    pub(crate) fn sent(&mut self, now: Instant, end: u64) {
        if !self.is_waiting(now) {
            self.unanswered = 0;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.moved = Some(now);
        self.sent_to = end;
    }

    pub(crate) fn begin_answer(&mut self, len: usize) {
        self.in_bulk = len >= BULK;
        self.unanswered = self.unanswered.saturating_sub(1);
        self.in_answer = true;
    }

    pub(crate) fn end_answer(&mut self, now: Instant) {
        self.moved = Some(now);
        self.in_answer = false;
    }

    fn is_waiting(&self, at: Instant) -> bool {
        self.unanswered > 0 && self.has_moved(at)
    }

    /// Large answers come, and one more may be on its way though none is asked
    /// for: no loss, but better waited for.
    pub(crate) fn is_in_bulk(&self, at: Instant) -> bool {
        self.in_bulk && self.has_moved(at)
    }

    /// Within the last moment before `at`, or after it.
    fn has_moved(&self, at: Instant) -> bool {
        self.moved.is_some_and(|moved| moved + LAST_MOMENT > at)
    }

    /// How the session must end if its connection does now, so that the client
    /// asks again; `None` if it can move without loss. Telegram was last
    /// `heard` then: that it says nothing to a session proves something only as
    /// long as it can be heard. The kernel has taken the connection's bytes up
    /// to `written`.
    pub(crate) fn loss(&self, heard: Instant, written: u64) -> Option<SessionEnd> {
        if self.in_answer {
            Some(SessionEnd::MidAnswer)
        } else if self.sent_to > written || self.is_waiting(heard) {
            Some(SessionEnd::MidSend)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn answer(exchange: &mut Exchange, now: Instant) {
        exchange.begin_answer(100);
        assert_eq!(exchange.loss(now, 1000), Some(SessionEnd::MidAnswer));
        exchange.end_answer(now);
    }

    #[test]
    fn a_session_waits_until_its_last_answer_is_there() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        assert_eq!(exchange.loss(start, 0), None);
        for _ in 0..3 {
            exchange.sent(start, 10);
        }
        for seconds in [1, 3] {
            let now = start + seconds * SECOND;
            answer(&mut exchange, now);
            let soon = now + 2 * SECOND;
            assert_eq!(exchange.loss(soon, 10), Some(SessionEnd::MidSend));
        }
        answer(&mut exchange, start + 5 * SECOND);
        assert_eq!(exchange.loss(start + 5 * SECOND, 10), None);
    }

    #[test]
    fn packets_without_an_answer_keep_nobody_for_long() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        for _ in 0..100 {
            exchange.sent(start, 10);
        }
        let later = start + LAST_MOMENT;
        assert_eq!(exchange.loss(later - SECOND, 10), Some(SessionEnd::MidSend));
        assert_eq!(exchange.loss(later, 10), None);
        // They are forgotten: one answer for one packet is enough from now on.
        exchange.sent(later, 20);
        answer(&mut exchange, later);
        assert_eq!(exchange.loss(later, 20), None);
    }

    #[test]
    fn large_answers_are_followed_by_others() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        exchange.sent(start, 10);
        exchange.begin_answer(BULK);
        exchange.end_answer(start);
        assert!(exchange.is_in_bulk(start + LAST_MOMENT / 2));
        assert_eq!(exchange.loss(start, 10), None);
        assert!(!exchange.is_in_bulk(start + LAST_MOMENT));
        answer(&mut exchange, start);
        assert!(!exchange.is_in_bulk(start));
    }

    /// More answers than packets: one of them may be an update.
    #[test]
    fn a_packet_cut_in_its_middle_is_lost_whatever_was_answered() {
        let start = Instant::now();
        let mut exchange = Exchange::default();
        exchange.sent(start, 10);
        answer(&mut exchange, start);
        exchange.sent(start, 30);
        answer(&mut exchange, start);
        let later = start + 60 * SECOND;
        assert_eq!(exchange.loss(later, 29), Some(SessionEnd::MidSend));
        assert_eq!(exchange.loss(later, 30), None);
    }
}
