//! What a site does when its visitor does not go on, and when.

#[cfg(feature = "check")]
mod measured;

use std::time::Duration;

#[cfg(feature = "check")]
pub(super) use measured::*;

use crate::wire::after_flight::JudgesAs;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum How {
    Fin,
    Reset,
    /// Not while anybody looked.
    Stays,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) struct Ending {
    /// Since it began, or since the last byte if it is that which ends it.
    pub(crate) after: Duration,
    /// Said just before: an encrypted record with so many bytes of payload.
    pub(crate) record: Option<u8>,
    pub(crate) how: How,
}

/// A site's endings, as far as somebody has measured them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::client) struct Manners {
    /// Nothing comes at all.
    pub(crate) silent: Option<Ending>,
    /// A part of a hello, and nothing more.
    pub(crate) partial: Option<Ending>,
    /// The same, if that part comes half a second after the connection.
    pub(crate) late: Option<Ending>,
    /// Its flight is out, and nothing more comes.
    pub(crate) unfinished: Option<Ending>,
    /// What comes instead cannot be decrypted.
    pub(crate) garbled: Option<Ending>,
    /// When that is so.
    pub(crate) judges_as: JudgesAs,
}

/// Deadlines that differ by less are one.
const ALIKE: Duration = Duration::from_millis(200);

impl Ending {
    /// At once, without a word.
    pub(crate) const FIN: Self = Self {
        after: Duration::ZERO,
        record: None,
        how: How::Fin,
    };

    /// Nginx's, of a handshake that does not go on.
    const UNFINISHED: Self = Self {
        after: Duration::from_secs(60),
        ..Self::FIN
    };

    /// Nginx's, as any server's on OpenSSL: an encrypted alert has 19 bytes.
    const GARBLED: Self = Self {
        record: Some(19),
        ..Self::FIN
    };

    fn is_wordless(&self) -> bool {
        self.record.is_none() && self.how != How::Stays
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.record, self.how) == (other.record, other.how)
            && self.after.abs_diff(other.after) < ALIKE
    }
}

impl Manners {
    pub(crate) fn unfinished(&self) -> Ending {
        self.unfinished.unwrap_or(Ending::UNFINISHED)
    }

    pub(crate) fn garbled(&self) -> Ending {
        self.garbled.unwrap_or(Ending::GARBLED)
    }

    /// How it leaves a visitor who has sent `received`, if it says nothing to that;
    /// `at_once`: nothing came later than the connection.
    pub(crate) fn wordless(&self, received: &[u8], at_once: bool) -> Option<Ending> {
        let ending = match received {
            [] => self.silent,
            // Where a hello begins; it is not whole, or there would be an answer.
            [0x16] | [0x16, 3, ..] if at_once => self.partial,
            [0x16] | [0x16, 3, ..] => self.partial.filter(|_| self.counts_from_accepting()),
            _ => None,
        };
        ending.filter(Ending::is_wordless)
    }

    /// How it leaves a visitor who has said nothing to its flight, whenever the hello
    /// came.
    pub(crate) fn answered(&self) -> Option<Ending> {
        let one_deadline = |end: &Ending| self.partial.is_some_and(|other| other.is_like(end));
        let ending = self.unfinished.filter(one_deadline);
        ending.filter(|ending| ending.is_wordless() && self.counts_from_accepting())
    }

    /// Its deadline does not move with what comes.
    pub(crate) fn counts_from_accepting(&self) -> bool {
        let both = self.partial.zip(self.late);
        both.is_some_and(|(partial, late)| partial.is_like(&late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_measured_is_as_nginx_does() {
        let unknown = Manners::default();
        assert_eq!(unknown.unfinished().after, Duration::from_secs(60));
        assert_eq!(unknown.garbled().record, Some(19));
        assert_eq!(unknown.wordless(b"", true), None);
    }

    #[test]
    fn only_ends_without_a_word_are_foreseen() {
        let after = |seconds| {
            Some(Ending {
                after: Duration::from_secs(seconds),
                ..Ending::FIN
            })
        };
        let mut manners = Manners {
            silent: after(60),
            partial: after(30),
            ..Manners::default()
        };
        assert_eq!(manners.wordless(b"", true), after(60));
        assert_eq!(manners.wordless(&[0x16], true), after(30));
        assert_eq!(manners.wordless(&[0x16, 3, 1, 2, 0, 1], true), after(30));
        assert_eq!(manners.wordless(b"EHLO", true), None);
        manners.silent = after(60).map(|end| Ending {
            how: How::Stays,
            ..end
        });
        assert_eq!(manners.wordless(b"", true), None);
        manners.silent = after(60).map(|end| Ending {
            record: Some(24),
            ..end
        });
        assert_eq!(manners.wordless(b"", true), None);
    }

    #[test]
    fn a_deadline_that_counts_from_accepting_holds_for_whoever_is_late() {
        let after = |millis| {
            Some(Ending {
                after: Duration::from_millis(millis),
                ..Ending::FIN
            })
        };
        let mut manners = Manners {
            silent: after(60_000),
            partial: after(60_001),
            late: after(60_020),
            unfinished: after(60_030),
            ..Manners::default()
        };
        assert_eq!(manners.wordless(&[0x16], false), after(60_001));
        assert_eq!(manners.answered(), after(60_030));
        manners.unfinished = after(90_000);
        assert_eq!(manners.answered(), None);
        manners.unfinished = after(60_030);
        manners.late = after(60_500);
        assert_eq!(manners.wordless(&[0x16], true), after(60_001));
        assert_eq!(manners.wordless(&[0x16], false), None);
        assert_eq!(manners.answered(), None);
        manners.late = None;
        assert_eq!(manners.answered(), None);
    }
}
