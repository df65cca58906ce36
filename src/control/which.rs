//! Which clients a request is about.

use super::problem::Problem;
use crate::wire::http::escaped;

/// As many at once as anybody reads.
const USUAL: usize = 1000;
pub(crate) const MAX_CLIENTS: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    /// All, or those of this one.
    pub(crate) secret: Option<String>,
    /// The place in the list to begin at, as an answer told it.
    pub(crate) after: usize,
    /// At most so many.
    pub(crate) limit: usize,
    /// Their addresses are shown in full.
    pub(crate) is_full: bool,
}

impl Default for Which {
    fn default() -> Self {
        Self {
            secret: None,
            after: 0,
            limit: USUAL,
            is_full: false,
        }
    }
}

impl Which {
    /// Of the parameters of a request, which it takes.
    pub(super) fn take_of(query: &mut Vec<(String, String)>) -> Result<Self, Problem> {
        let mut which = Self::default();
        for (name, value) in query.drain(..) {
            match name.as_str() {
                "secret" => which.secret = Some(value),
                "after" => which.after = number(&name, &value, usize::MAX)?,
                "limit" => which.limit = number(&name, &value, MAX_CLIENTS)?,
                "addresses" => {
                    which.is_full = match value.as_str() {
                        "masked" => false,
                        "full" => true,
                        _ => return Err(bad(&name, "masked or full")),
                    };
                }
                _ => return Err(Problem::UnknownParameter(name)),
            }
        }
        Ok(which)
    }

    /// As a part of a target; empty where it is the usual.
    pub(super) fn query(&self) -> String {
        let usual = Self::default();
        let mut parts = Vec::new();
        if let Some(secret) = &self.secret {
            parts.push(format!("secret={}", escaped(secret)));
        }
        if self.after != usual.after {
            parts.push(format!("after={}", self.after));
        }
        if self.limit != usual.limit {
            parts.push(format!("limit={}", self.limit));
        }
        if self.is_full {
            parts.push("addresses=full".to_owned());
        }
        match parts.is_empty() {
            true => String::new(),
            false => format!("?{}", parts.join("&")),
        }
    }
}

fn number(name: &str, value: &str, most: usize) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| match most {
        usize::MAX => bad(name, "a number"),
        most => bad(name, &format!("a number up to {most}")),
    })
}

fn bad(name: &str, wanted: &str) -> Problem {
    Problem::BadParameter {
        name: name.to_owned(),
        wanted: wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said() {
        let take = |name: &str, value: &str| {
            Which::take_of(&mut vec![(name.to_owned(), value.to_owned())])
        };
        assert_eq!(take("limit", "10000").unwrap().limit, MAX_CLIENTS);
        for (name, value, wanted) in [
            ("limit", "10001", "a number up to 10000"),
            ("limit", "-1", "a number up to 10000"),
            ("after", "x", "a number"),
            ("addresses", "all", "masked or full"),
        ] {
            assert_eq!(take(name, value), Err(bad(name, wanted)));
        }
        assert!(matches!(
            take("sort", "x"),
            Err(Problem::UnknownParameter(_))
        ));
    }
}
