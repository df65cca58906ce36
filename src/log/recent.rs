//! The last warnings and errors, one of each kind, for who asks later.

use std::sync::{Mutex, PoisonError};

use super::{LogLevel, one_line};
use crate::clock::unix_now;

/// Kinds that are remembered; the one that was silent for longest gives way.
const MAX_KINDS: usize = 16;

/// Bytes of a line that are kept.
const MAX_LINE: usize = 400;

/// A line that was said, the last of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    /// In unix time.
    pub(crate) at: u64,
    pub(crate) level: LogLevel,
    /// How often lines of its kind were said.
    pub(crate) count: u64,
    pub(crate) line: String,
}

/// The latest at the end.
static RECENT: Mutex<Vec<Recent>> = Mutex::new(Vec::new());

/// What was said last, the latest first.
pub(crate) fn recent() -> Vec<Recent> {
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.iter().rev().cloned().collect()
}

pub(super) fn remember(level: LogLevel, line: String) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    enter(&mut recent, unix_now(), level, line);
}

fn enter(recent: &mut Vec<Recent>, at: u64, level: LogLevel, line: String) {
    let mut line = one_line(line);
    let end = (0..=MAX_LINE).rev().find(|at| line.is_char_boundary(*at));
    line.truncate(end.unwrap_or_default());
    let known = recent.iter().position(|one| is_of_kind(&one.line, &line));
    let count = match known {
        Some(known) => recent.remove(known).count,
        None => 0,
    };
    if recent.len() >= MAX_KINDS {
        recent.remove(0);
    }
    recent.push(Recent {
        at,
        level,
        count: count + 1,
        line,
    });
}

/// They differ at most in words with digits: addresses, numbers, times, and in how many
/// came before.
fn is_of_kind(one: &str, other: &str) -> bool {
    plain_words(one).eq(plain_words(other))
}

fn plain_words(line: &str) -> impl Iterator<Item = &str> {
    let words = line
        .split(' ')
        .filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !matches!(*word, "" | "more" | "before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(recent: &[Recent]) -> Vec<(&str, u64)> {
        recent
            .iter()
            .map(|one| (one.line.as_str(), one.count))
            .collect()
    }

    #[test]
    fn the_last_of_each_kind_is_kept_and_counted() {
        let mut recent = Vec::new();
        let mut say = |at, line: &str| enter(&mut recent, at, LogLevel::Warn, line.to_owned());
        say(1, "no link to 192.0.2.1:443: refused; start it");
        say(2, "the disk is full\n");
        say(
            3,
            "no link to 192.0.2.2:443: refused (3 more before); start it",
        );
        assert_eq!(
            lines(&recent),
            [
                ("the disk is full ", 1),
                (
                    "no link to 192.0.2.2:443: refused (3 more before); start it",
                    2
                )
            ]
        );
        enter(&mut recent, 4, LogLevel::Error, "DC 2 is gone".to_owned());
        enter(&mut recent, 5, LogLevel::Error, "DC 4 is gone".to_owned());
        assert_eq!(lines(&recent).last(), Some(&("DC 4 is gone", 2)));
        assert_eq!(recent.last().map(|one| one.at), Some(5));
    }

    #[test]
    fn there_is_an_end_to_kinds_and_to_lines() {
        let mut recent = Vec::new();
        for kind in 0..40u8 {
            let line = char::from(b'a' + kind % 26)
                .to_string()
                .repeat(1 + kind as usize / 26);
            enter(&mut recent, kind.into(), LogLevel::Warn, line);
        }
        assert_eq!(recent.len(), MAX_KINDS);
        assert_eq!(recent[0].at, 24);
        let long = "é".repeat(MAX_LINE);
        enter(&mut recent, 50, LogLevel::Warn, long);
        assert_eq!(recent.last().unwrap().line, "é".repeat(MAX_LINE / 2));
    }
}
