//! The last line: how many verdicts there are of each kind, and how the command ends.

use super::verdict::{Grade, Verdict};
use crate::cli::exit::Exit;
use crate::wire::json::Json;

/// How many verdicts there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    ok: usize,
    warn: usize,
    fail: usize,
}

impl Summary {
    pub(super) fn of(verdicts: &[Verdict]) -> Self {
        let count = |grade| verdicts.iter().filter(|one| one.grade == grade).count();
        Self {
            ok: count(Grade::Ok),
            warn: count(Grade::Warn),
            fail: count(Grade::Fail),
        }
    }

    pub(super) fn exit(self) -> Exit {
        match self.fail {
            0 => Exit::Ok,
            _ => Exit::Unavailable,
        }
    }

    /// As a line like the others: it is as bad as the worst of them.
    pub(super) fn verdict(self) -> Verdict {
        let counts = [
            (self.ok, Grade::Ok),
            (self.warn, Grade::Warn),
            (self.fail, Grade::Fail),
        ];
        let there = counts.into_iter().filter(|(count, _)| *count > 0);
        let worst = there.clone().next_back();
        let words: Vec<_> = there
            .map(|(count, grade)| format!("{count} {grade}"))
            .collect();
        let finding = format!("{}; exit code {}", words.join(", "), self.exit() as u8);
        Verdict::new(
            worst.map_or(Grade::Ok, |(_, grade)| grade),
            "in all",
            finding,
        )
    }

    pub(super) fn json(self) -> Json {
        let number = |count: usize| Json::Number(i64::try_from(count).unwrap_or(i64::MAX));
        Json::Object(vec![
            ("ok", number(self.ok)),
            ("warn", number(self.warn)),
            ("fail", number(self.fail)),
            ("exit_code", Json::Number(i64::from(self.exit() as u8))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_is_that_of_all() {
        let [ok, warn, fail] =
            [Verdict::ok, Verdict::warn, Verdict::fail].map(|new| move || new("a", "b"));
        let line = |verdicts: &[Verdict]| Summary::of(verdicts).verdict().to_string();
        assert_eq!(line(&[ok(), ok()]), "ok    in all: 2 ok; exit code 0");
        assert_eq!(
            line(&[warn(), ok()]),
            "warn  in all: 1 ok, 1 warn; exit code 0"
        );
        let all = [fail(), warn(), ok()];
        assert_eq!(
            line(&all),
            "fail  in all: 1 ok, 1 warn, 1 fail; exit code 69"
        );
        let json = Summary::of(&all).json().to_string();
        assert_eq!(json, r#"{"ok":1,"warn":1,"fail":1,"exit_code":69}"#);
    }
}
