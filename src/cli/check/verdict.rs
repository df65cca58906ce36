//! What `check` says of one subject.

use std::fmt;

use crate::config::RouteName;
use crate::log::one_line;
use crate::wire::json::Json;

/// Only `Fail` makes the command fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One line of `check`.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(crate) grade: Grade,
    pub(crate) subject: String,
    /// What was found; where it is not well, also the way out.
    pub(crate) finding: String,
    /// Which route it is about.
    route: Option<RouteName>,
}

impl Verdict {
    pub(crate) fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(Grade::Ok, subject, finding)
    }

    pub(crate) fn warn(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(Grade::Warn, subject, finding)
    }

    pub(crate) fn fail(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(Grade::Fail, subject, finding)
    }

    pub(crate) fn new(
        grade: Grade,
        subject: impl Into<String>,
        finding: impl Into<String>,
    ) -> Self {
        Self {
            grade,
            subject: one_line(subject.into()),
            finding: one_line(finding.into()),
            route: None,
        }
    }

    pub(super) fn of_route(self, route: RouteName) -> Self {
        Self {
            route: Some(route),
            ..self
        }
    }

    pub(crate) fn json(&self) -> Json {
        let mut members = vec![
            ("verdict", Json::Text(self.grade.to_string())),
            ("subject", Json::from(self.subject.as_str())),
            ("finding", Json::from(self.finding.as_str())),
        ];
        members.extend(self.route.map(|route| ("route", Json::from(route.word()))));
        Json::Object(members)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.grade, self.subject, self.finding)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}
