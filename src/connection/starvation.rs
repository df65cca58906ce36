//! When a line shows that its route works, and when that it does not: it opens and then
//! starves. Pure; times are in milliseconds of a clock that may begin anew.

/// From a client's first packet to the first byte down.
const FIRST_BYTE: u32 = 5_000;

/// Pieces of one packet come with no longer pauses.
const PIECES: u32 = 1_000;

/// A filter that lets so much pass and then nothing (the rule of 16 to 20 KB) is known
/// by a line that falls silent between these.
const LEAST: u16 = 8 << 10;
const MOST: u16 = 32 << 10;

/// A client that has heard nothing since it said something, and says something again so
/// much later, wants an answer. Once alone may be an acknowledgement, which has none.
const AGAIN: u32 = 2_000;

/// Since then there is none.
const SILENCE: u32 = 8_000;

/// The same if it goes away.
const SILENCE_AT_END: u32 = 3_000;

/// What a line shows of its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The first byte has come.
    Answers,
    /// It has got more than the filter lets pass, or has ended in peace when it had as
    /// much.
    Passes,
    /// Nothing comes, although the client has asked.
    Starves,
    /// It fell silent after so much as the filter lets pass.
    FallsSilent,
    /// The other side closed it, and had not sent a byte to a client that had asked.
    EndsEarly,
}

/// What has happened on a line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Starvation {
    /// When what `phase` says began.
    since: u32,
    /// Bytes that came, as far as they matter.
    down: u16,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The client has said nothing yet.
    #[default]
    Quiet,
    /// It has, and no byte has come.
    Asked,
    /// None has come in time.
    Starved,
    /// Bytes have come; nothing was said since the last of them.
    Heard,
    /// Something was, once.
    Said,
    /// And again.
    SaidAgain,
    Settled,
}

impl Starvation {
    pub(crate) fn is_settled(self) -> bool {
        self.phase == Phase::Settled
    }

    /// Nobody wants to know more of it.
    pub(crate) fn settle(&mut self) {
        self.phase = Phase::Settled;
    }

    /// Time alone may bring a finding.
    pub(crate) fn is_waiting(self) -> bool {
        match self.phase {
            Phase::Asked => true,
            Phase::SaidAgain => self.is_in_range(),
            _ => false,
        }
    }

    /// Of one that waits: since when.
    pub(crate) fn asked(self) -> u32 {
        self.since
    }

    pub(crate) fn sent(&mut self, now: u32) {
        let (phase, since) = match self.phase {
            Phase::Quiet => (Phase::Asked, now),
            // A long packet on a slow way up has no answer before its end.
            Phase::Asked if self.age(now) < PIECES => (Phase::Asked, now),
            Phase::Heard => (Phase::Said, now),
            Phase::Said if self.age(now) >= AGAIN => (Phase::SaidAgain, now),
            _ => return,
        };
        (self.phase, self.since) = (phase, since);
    }

    /// `length` bytes came; none: the other side has closed.
    pub(crate) fn came(&mut self, length: usize, now: u32) -> Option<Finding> {
        let finding = match (self.phase, length) {
            (Phase::Settled, _) => return None,
            (Phase::Asked, 0) => Some(Finding::EndsEarly),
            (Phase::Quiet | Phase::Starved, 0) => None,
            // A filter lets that little pass.
            (_, 0) if self.down < LEAST => None,
            (_, 0) => Some(Finding::Passes),
            // What comes unasked (of a DC nothing does) is a sign of life all the same.
            (Phase::Quiet | Phase::Asked | Phase::Starved, _) => Some(Finding::Answers),
            (_, _) => None,
        };
        if length == 0 {
            self.phase = Phase::Settled;
            return finding;
        }
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.down = self.down.saturating_add(length);
        (self.phase, self.since) = (Phase::Heard, now);
        if self.down > MOST {
            self.phase = Phase::Settled;
            // It answers too, should this have been the first byte.
            return Some(Finding::Passes);
        }
        finding
    }

    /// A look now and then at one that waits.
    pub(crate) fn look(&mut self, now: u32) -> Option<Finding> {
        let (finding, phase) = match self.phase {
            Phase::Asked if self.age(now) >= FIRST_BYTE => (Finding::Starves, Phase::Starved),
            Phase::SaidAgain if self.is_in_range() && self.age(now) >= SILENCE => {
                (Finding::FallsSilent, Phase::Settled)
            }
            _ => return None,
        };
        self.phase = phase;
        Some(finding)
    }

    /// The line has ended.
    pub(crate) fn end(&mut self, now: u32) -> Option<Finding> {
        let finding = match self.phase {
            Phase::Quiet | Phase::Asked | Phase::Starved | Phase::Settled => None,
            Phase::SaidAgain if self.is_in_range() && self.age(now) >= SILENCE_AT_END => {
                Some(Finding::FallsSilent)
            }
            // Whoever waits has not ended in peace.
            Phase::Said | Phase::SaidAgain => None,
            Phase::Heard => (self.down >= LEAST).then_some(Finding::Passes),
        };
        self.phase = Phase::Settled;
        finding
    }

    fn is_in_range(self) -> bool {
        (LEAST..=MOST).contains(&self.down)
    }

    fn age(self, now: u32) -> u32 {
        now.wrapping_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn the_first_byte_has_five_seconds() {
        let mut line = Starvation::default();
        assert_eq!(line.look(100_000), None, "nobody has asked");
        line.sent(100_000);
        line.sent(103_000);
        assert!(line.is_waiting());
        assert_eq!(line.look(104_999), None);
        let mut other = line;
        assert_eq!(line.look(105_000), Some(Finding::Starves));
        assert!(!line.is_waiting());
        let mut late = line;
        assert_eq!(line.end(105_000), None);
        assert_eq!(late.came(1, 108_000), Some(Finding::Answers));
        assert_eq!(other.came(1, 105_000), Some(Finding::Answers));
        assert!(!other.is_waiting());
        assert_eq!(other.look(200_000), None);
    }

    #[test]
    fn a_long_first_packet_is_waited_for() {
        let mut line = Starvation::default();
        for piece in 0..40 {
            line.sent(500 * piece);
            assert_eq!(line.look(500 * piece), None);
        }
        assert_eq!(line.look(19_500 + FIRST_BYTE), Some(Finding::Starves));
    }

    #[test]
    fn silence_after_so_much_as_the_filter_lets_pass() {
        for (down, is_found) in [
            (KIB, false),
            (8 * KIB, true),
            (20 * KIB, true),
            (32 * KIB, true),
        ] {
            let mut line = Starvation::default();
            line.sent(0);
            assert_eq!(line.came(down, 10), Some(Finding::Answers));
            line.sent(20);
            assert_eq!(line.look(1_000_000), None, "it may be an acknowledgement");
            line.sent(20 + AGAIN);
            assert_eq!(line.is_waiting(), is_found);
            assert_eq!(line.look(20 + AGAIN + SILENCE - 1), None);
            let (mut waits, mut leaves) = (line, line);
            let found = is_found.then_some(Finding::FallsSilent);
            assert_eq!(waits.look(20 + AGAIN + SILENCE), found);
            assert_eq!(leaves.end(20 + AGAIN + SILENCE_AT_END), found);
            let is_enough = down == 32 * KIB;
            let passes = is_enough.then_some(Finding::Passes);
            assert_eq!(line.came(1, 9_000), passes);
            assert_eq!(line.is_settled(), is_enough);
            let passes = (!is_enough && is_found).then_some(Finding::Passes);
            assert_eq!(line.end(9_000), passes, "so little shows nothing");
        }
        let mut line = Starvation::default();
        line.sent(0);
        assert_eq!(line.came(32 * KIB + 1, 10), Some(Finding::Passes));
        assert!(line.is_settled());
    }

    #[test]
    fn who_closes_first() {
        let asked = {
            let mut line = Starvation::default();
            line.sent(0);
            line
        };
        let mut by_telegram = asked;
        assert_eq!(by_telegram.came(0, 1), Some(Finding::EndsEarly));
        let mut by_the_client = asked;
        assert_eq!(by_the_client.end(4_000), None);
        let mut unused = Starvation::default();
        assert_eq!(unused.came(0, 1), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Sent,
        Came(usize),
        Look,
        Wait(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Sent),
            prop_oneof![1..3_000usize, 1..40_000usize].prop_map(Step::Came),
            Just(Step::Look),
            (0..12_000u32).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn findings_are_just(
            start: u32,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut line = Starvation::default();
            let (mut now, mut down) = (start, 0);
            // Milliseconds since the client was last heard, or heard something.
            let (mut silence, mut unanswered) = (0u32, None::<u32>);
            // A line that was late with its first byte may still fall silent.
            let (mut starved, mut fell_silent) = (0, 0);
            for step in steps {
                let mut found = None;
                match step {
                    Step::Sent => {
                        line.sent(now);
                        unanswered.get_or_insert(0);
                    }
                    Step::Came(length) => {
                        found = line.came(length, now);
                        down += length;
                        (silence, unanswered) = (0, None);
                    }
                    Step::Look => found = line.look(now),
                    Step::Wait(time) => {
                        now = now.wrapping_add(time);
                        silence += time;
                        unanswered = unanswered.map(|before| before + time);
                    }
                }
                match found {
                    None => {}
                    Some(Finding::Answers) => prop_assert!(down > 0),
                    Some(Finding::Passes) => prop_assert!(down > 32 * KIB),
                    Some(Finding::Starves) => {
                        prop_assert!(down == 0 && unanswered >= Some(FIRST_BYTE));
                        starved += 1;
                    }
                    Some(Finding::FallsSilent) => {
                        prop_assert!((8 * KIB..=32 * KIB).contains(&down));
                        prop_assert!(unanswered >= Some(AGAIN + SILENCE) && silence >= 10_000);
                        fell_silent += 1;
                    }
                    Some(Finding::EndsEarly) => prop_assert!(false),
                }
                prop_assert!(starved <= 1 && fell_silent <= 1);
                prop_assert!(!line.is_waiting() || unanswered.is_some());
            }
        }
    }
}
