//! What a site does when its visitor does not go on, and when.

use std::time::Duration;

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
    pub after: Duration,
    /// Said just before: an encrypted record with so many bytes of payload.
    pub record: Option<u8>,
    pub how: How,
}

/// A site's endings, as far as somebody has measured them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::client) struct Manners {
    /// Nothing comes at all.
    pub silent: Option<Ending>,
    /// A part of a hello, and nothing more.
    pub partial: Option<Ending>,
    /// The same, if that part comes half a second after the connection.
    pub late: Option<Ending>,
    /// Its flight is out, and nothing more comes.
    pub unfinished: Option<Ending>,
    /// What comes instead cannot be decrypted.
    pub garbled: Option<Ending>,
}

/// Deadlines that differ by less are one.
const ALIKE: Duration = Duration::from_millis(200);

impl Ending {
    /// At once, without a word.
    pub const FIN: Self = Self {
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
    pub fn unfinished(&self) -> Ending {
        self.unfinished.unwrap_or(Ending::UNFINISHED)
    }

    pub fn garbled(&self) -> Ending {
        self.garbled.unwrap_or(Ending::GARBLED)
    }

    /// How it leaves a visitor who has sent `received`, if it says nothing to that;
    /// `at_once`: nothing came later than the connection.
    pub fn wordless(&self, received: &[u8], at_once: bool) -> Option<Ending> {
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
    pub fn answered(&self) -> Option<Ending> {
        let one_deadline = |end: &Ending| self.partial.is_some_and(|other| other.is_like(end));
        let ending = self.unfinished.filter(one_deadline);
        ending.filter(|ending| ending.is_wordless() && self.counts_from_accepting())
    }

    /// Its deadline does not move with what comes.
    pub fn counts_from_accepting(&self) -> bool {
        let both = self.partial.zip(self.late);
        both.is_some_and(|(partial, late)| partial.is_like(&late))
    }
}

#[cfg(feature = "check")]
pub(super) use measured::*;

/// What is asked for, and kept.
#[cfg(feature = "check")]
mod measured {
    use super::*;
    use crate::config::SitePlace;

    /// The name of the file in the data directory: a line each site, as in
    /// `1795867200 60050f 60051f 60050f 60055f 0+19f www.example.com:443`: when it was asked
    /// (Unix time), its endings (milliseconds, bytes of a last record, how), its place.
    pub const FILE: &str = "manners";

    /// A site that counts from the last byte on gives so much more to who is so late.
    pub const LATE: Duration = Duration::from_millis(500);

    /// So long a connection is looked at.
    pub const LONGEST_LOOK: Duration = Duration::from_secs(130);

    /// The longest last word, in bytes: what is longer is no alert.
    pub const LONGEST_WORD: u8 = 64;

    impl Manners {
        /// Of two looks at a site, at different times: the longer patience of both,
        /// as a restart or the network may have cut the other short; of what comes at
        /// once the shorter time.
        pub fn and(self, later: Self) -> Self {
            let longer = |one: Option<Ending>, other: Option<Ending>| {
                one.into_iter().chain(other).max_by_key(|end| end.after)
            };
            let garbled = self.garbled.into_iter().chain(later.garbled);
            Self {
                silent: longer(self.silent, later.silent),
                partial: longer(self.partial, later.partial),
                late: longer(self.late, later.late),
                unfinished: longer(self.unfinished, later.unfinished),
                garbled: garbled.min_by_key(|end| end.after),
            }
        }

        pub fn write_line(&self, asked: u64, place: &SitePlace) -> String {
            let word = |ending: Option<Ending>| {
                let Some(Ending { after, record, how }) = ending else {
                    return "-".to_owned();
                };
                let record = record.map_or_else(String::new, |length| format!("+{length}"));
                let how = match how {
                    How::Fin => 'f',
                    How::Reset => 'r',
                    How::Stays => 's',
                };
                format!("{}{record}{how}", after.as_millis())
            };
            let [silent, partial, late] = [self.silent, self.partial, self.late].map(word);
            let [unfinished, garbled] = [self.unfinished, self.garbled].map(word);
            format!("{asked} {silent} {partial} {late} {unfinished} {garbled} {place}\n")
        }
    }

    /// What [`write_line`](Manners::write_line) wrote.
    pub fn read_line(line: &str) -> Option<(u64, Manners, SitePlace)> {
        let mut words = line.splitn(7, ' ');
        let asked = words.next()?.parse().ok()?;
        let mut ending = || read_ending(words.next()?);
        let manners = Manners {
            silent: ending()?,
            partial: ending()?,
            late: ending()?,
            unfinished: ending()?,
            garbled: ending()?,
        };
        Some((asked, manners, words.next()?.parse().ok()?))
    }

    fn read_ending(word: &str) -> Option<Option<Ending>> {
        if word == "-" {
            return Some(None);
        }
        let how = match word.chars().next_back()? {
            'f' => How::Fin,
            'r' => How::Reset,
            's' => How::Stays,
            _ => return None,
        };
        let rest = word.get(..word.len().checked_sub(1)?)?;
        let (after, record) = match rest.split_once('+') {
            Some((after, record)) => (after, Some(record.parse().ok()?)),
            None => (rest, None),
        };
        let after = Duration::from_millis(after.parse().ok()?);
        let is_sane = after <= LONGEST_LOOK && record.is_none_or(|length| length <= LONGEST_WORD);
        is_sane.then_some(Some(Ending { after, record, how }))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn end(millis: u64, how: How) -> Ending {
            Ending {
                after: Duration::from_millis(millis),
                record: None,
                how,
            }
        }

        fn measured() -> Manners {
            Manners {
                silent: Some(end(60_050, How::Fin)),
                partial: Some(end(5_000, How::Reset)),
                late: Some(end(5_500, How::Reset)),
                unfinished: Some(end(130_000, How::Stays)),
                garbled: Some(Ending {
                    record: Some(19),
                    ..end(0, How::Fin)
                }),
            }
        }

        #[test]
        fn what_is_written_is_read_and_the_rest_is_not() {
            for place in ["www.example.com:443", "[::1]:8443", "unix:/run/a site"] {
                let place: SitePlace = place.parse().unwrap();
                for manners in [measured(), Manners::default()] {
                    let line = manners.write_line(1_795_867_200, &place);
                    let read = read_line(line.trim_end_matches('\n'));
                    assert_eq!(read, Some((1_795_867_200, manners, place.clone())));
                }
            }
            let line = "17 60050f 5000r 5500r 130000s 0+19f www.example.com:443";
            assert!(read_line(line).is_some());
            for (from, to) in [
                ("17 ", "x "),
                ("60050f", "60050"),
                ("60050f", "f"),
                ("60050f", ""),
                ("60050f", "60050é"),
                ("5000r", "500000r"),
                ("0+19", "0+65"),
                ("0+19", "0+"),
                ("0+19f ", ""),
                ("www.example.com:443", ""),
            ] {
                let changed = line.replace(from, to);
                assert_eq!(read_line(&changed), None, "{changed}");
            }
        }

        #[test]
        fn of_two_looks_the_longer_patience_counts() {
            let hasty = Manners {
                silent: Some(end(20_000, How::Fin)),
                unfinished: Some(end(20_000, How::Reset)),
                ..Manners::default()
            };
            assert_eq!(measured().and(hasty.clone()), measured());
            assert_eq!(hasty.clone().and(measured()), measured());
            assert_eq!(hasty.clone().and(Manners::default()), hasty);
            let slow = Manners {
                garbled: Some(end(50, How::Fin)),
                ..hasty
            };
            assert_eq!(slow.and(measured()), measured());
        }
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
            garbled: None,
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
