//! How a site ends connections, as it is found out and kept.

use std::time::Duration;

use super::{Ending, How, Manners};
use crate::clock::millis;
use crate::config::SitePlace;
use crate::wire::after_flight::JudgesAs;

/// The name of the file in the data directory: a line each site, as in
/// `1795867200 60050f 60051f 60050f 60055f 0+19f www.example.com:443`: when it was asked
/// (Unix time), its endings (milliseconds, bytes of a last record, how), its place.
pub(crate) const FILE: &str = "manners";

/// A site that counts from the last byte on gives so much more to who is so late.
pub(crate) const LATE: Duration = Duration::from_millis(500);

/// So long a connection is looked at.
pub(crate) const MAX_LOOK: Duration = Duration::from_secs(130);

/// The longest last word, in bytes: what is longer is no alert.
pub(crate) const MAX_WORD: u8 = 64;

impl Manners {
    /// Of two looks at a site, at different times: the longer patience of both,
    /// as a restart or the network may have cut the other short; of what comes at
    /// once the shorter time.
    pub(crate) fn and(self, later: Self) -> Self {
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
            judges_as: self.judges_as,
        }
    }

    pub(crate) fn write_line(&self, asked: u64, place: &SitePlace) -> String {
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
            format!("{}{record}{how}", millis(after))
        };
        let [silent, partial, late] = [self.silent, self.partial, self.late].map(word);
        let [unfinished, garbled] = [self.unfinished, self.garbled].map(word);
        format!("{asked} {silent} {partial} {late} {unfinished} {garbled} {place}\n")
    }
}

/// What [`write_line`](Manners::write_line) wrote.
pub(crate) fn read_line(line: &str) -> Option<(u64, Manners, SitePlace)> {
    let mut words = line.splitn(7, ' ');
    let asked = words.next()?.parse().ok()?;
    let mut ending = || read_ending(words.next()?);
    let manners = Manners {
        silent: ending()?,
        partial: ending()?,
        late: ending()?,
        unfinished: ending()?,
        garbled: ending()?,
        judges_as: JudgesAs::default(),
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
    let is_sane = after <= MAX_LOOK && record.is_none_or(|length| length <= MAX_WORD);
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
            judges_as: JudgesAs::default(),
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
