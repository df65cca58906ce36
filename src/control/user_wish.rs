//! What can be changed in users, as requests say it.

use std::mem::take;

use super::problem::Problem;
use crate::config::{LimitChange, LimitError};
use crate::wire::http::escaped;

const DAY: u64 = 86_400;

/// An old secret is good for so long at most.
const MAX_KEEP: u64 = 366 * DAY;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserWish {
    Add {
        name: String,
        limits: LimitChange,
    },
    Limit {
        name: String,
        limits: LimitChange,
    },
    /// Another secret; for how many seconds the old one is good beside it.
    Rotate {
        name: String,
        keep: Option<u64>,
    },
    Remove {
        name: String,
    },
}

impl UserWish {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Add { name, .. }
            | Self::Limit { name, .. }
            | Self::Rotate { name, .. }
            | Self::Remove { name } => name,
        }
    }

    /// As it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Limit { .. } => "limit",
            Self::Rotate { .. } => "rotate",
            Self::Remove { .. } => "del",
        }
    }

    /// Its method and target.
    pub(super) fn call(&self) -> (&'static str, String) {
        let path = format!("/v1/users/{}", escaped(self.name()));
        match self {
            Self::Add { limits, .. } => ("POST", path + &query(limits)),
            Self::Limit { limits, .. } => ("PATCH", path + &query(limits)),
            Self::Rotate { keep: None, .. } => ("POST", path + "/rotate"),
            Self::Rotate {
                keep: Some(keep), ..
            } => ("POST", format!("{path}/rotate?keep={keep}s")),
            Self::Remove { .. } => ("DELETE", path),
        }
    }
}

fn query(limits: &LimitChange) -> String {
    let words = limits.words();
    let words = words.map(|(option, value)| format!("{option}={}", escaped(value)));
    match words.collect::<Vec<_>>().join("&") {
        none if none.is_empty() => none,
        some => format!("?{some}"),
    }
}

/// All that a request's parameters say.
pub(super) fn limits_of(query: &mut Vec<(String, String)>) -> Result<LimitChange, Problem> {
    let mut limits = LimitChange::default();
    for (option, value) in take(query) {
        limits.add(&option, &value).map_err(|error| match error {
            LimitError::Option(name) => Problem::UnknownParameter(name),
            LimitError::Value(..) => Problem::BadUser(error.to_string()),
        })?;
    }
    Ok(limits)
}

/// For how long an old secret is good beside its successor.
pub(super) fn span_of(query: &mut Vec<(String, String)>) -> Result<Option<u64>, Problem> {
    let mut keep = None;
    for (name, value) in take(query) {
        match name.as_str() {
            "keep" => keep = Some(span(&value).ok_or_else(bad_span)?),
            _ => return Err(Problem::UnknownParameter(name)),
        }
    }
    Ok(keep)
}

fn bad_span() -> Problem {
    Problem::BadParameter {
        name: "keep".to_owned(),
        wanted: "how long, as in 7d, 12h, 30m or 90s; 366d at most".to_owned(),
    }
}

/// Seconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => DAY,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    let seconds = number.checked_mul(unit)?;
    (1..=MAX_KEEP).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("30m", Some(1800)),
            ("12h", Some(43_200)),
            ("366d", Some(366 * DAY)),
            ("367d", None),
            ("0d", None),
            ("7", None),
            ("d", None),
            ("-1d", None),
            ("7 d", None),
            ("99999999999999999999d", None),
            ("213503982334602d", None),
        ] {
            assert_eq!(span(text), seconds, "{text}");
        }
    }
}
