//! Why there is no answer.

use std::fmt;

use crate::http::phrase;
use crate::wire::json::Json;

/// What a request met, with the way out in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It was no request of HTTP.
    NoRequest,
    BadTarget,
    NoSuchCall,
    /// These methods are.
    NotAllowed(String),
    UnknownParameter(String),
    BadParameter {
        name: String,
        wanted: String,
    },
    /// A process of this role has nothing of the kind.
    OtherRole(&'static str),
    /// It was shown none.
    NeedsToken,
    WrongToken,
    ManyGuesses,
    /// It came over plain HTTP and the internet.
    TokenInClear,
    /// No token is known here.
    NoToken,
    /// By a name that anybody may lead here.
    OtherHost,
    NoTable(String),
    NoSecret(String),
    /// In the words of the table.
    BadEntry(String),
    NotSaved(String),
    /// A name or a limit that is none.
    BadUser(String),
    NoUser(String),
    /// Something else is in the way.
    UserConflict(String),
    /// So many wait for their turn.
    ManyChanges,
    /// The disk may still take it.
    ChangeTakesLong {
        seconds: u64,
    },
    /// The disk may still take it.
    SaveTakesLong {
        table: String,
        seconds: u64,
    },
}

impl Problem {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::NoRequest
            | Self::BadTarget
            | Self::UnknownParameter(_)
            | Self::BadParameter { .. }
            | Self::BadEntry(_)
            | Self::BadUser(_) => 400,
            Self::NoSuchCall | Self::NoTable(_) | Self::NoSecret(_) | Self::NoUser(_) => 404,
            Self::NeedsToken | Self::WrongToken => 401,
            Self::TokenInClear | Self::NoToken | Self::OtherHost => 403,
            Self::ManyGuesses => 429,
            Self::NotAllowed(_) => 405,
            Self::OtherRole(_) | Self::UserConflict(_) => 409,
            Self::NotSaved(_) => 500,
            Self::ManyChanges => 503,
            Self::SaveTakesLong { .. } | Self::ChangeTakesLong { .. } => 504,
        }
    }

    /// RFC 9457.
    pub(crate) fn json(&self) -> Json {
        let status = self.status();
        Json::Object(vec![
            ("type", Json::from("about:blank")),
            ("title", Json::from(phrase(status))),
            ("status", Json::Number(status.into())),
            ("detail", Json::from(self.to_string())),
        ])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequest => {
                f.write_str("this is no request of HTTP/1.1, as in GET /v1/status HTTP/1.1")
            }
            Self::BadTarget => f.write_str(
                "the target is no path of UTF-8, as in /v1/status; escape other signs by %",
            ),
            Self::NoSuchCall => f.write_str(
                "there is no such call; /v1/status is one, and doc/api.md has all of them: is ctl \
                 of another version?",
            ),
            Self::NotAllowed(methods) => write!(f, "only by {methods}"),
            Self::UnknownParameter(name) => {
                write!(f, "this call takes no parameter {name}: leave it out")
            }
            Self::BadParameter { name, wanted } => write!(f, "{name} is {wanted}"),
            Self::OtherRole(ask) => f.write_str(ask),
            Self::NeedsToken => f.write_str(
                "this needs the token that `smol-mtproxy ctl token` prints, as in Authorization: \
                 Bearer TOKEN; without it there are /v1/figures and /v1/history, for this machine",
            ),
            Self::WrongToken => f.write_str(
                "this is not the token of this proxy: `smol-mtproxy ctl token` prints it",
            ),
            Self::ManyGuesses => f.write_str(
                "too many wrong tokens came from there: wait for a minute, or use `ctl`",
            ),
            Self::TokenInClear => f.write_str(
                "no token is taken over plain HTTP through the internet: use `ssh -L \
                 9090:127.0.0.1:9090 SERVER`, TLS by a web server on this machine, or, if nobody \
                 can listen on the way, --status-public yes",
            ),
            Self::NoToken => f.write_str(
                "this proxy has no token, as the log has told at the start: see to its --data-dir",
            ),
            Self::OtherHost => f.write_str(
                "this name may be anybody's: ask by an address, as in http://127.0.0.1:9090/",
            ),
            Self::NoTable(name) => {
                write!(
                    f,
                    "there is no table {name}; start with --table {name}=FILE"
                )
            }
            Self::NoSecret(name) => {
                write!(
                    f,
                    "there is no secret {name}; `ctl secrets` has their names"
                )
            }
            Self::BadEntry(why)
            | Self::NotSaved(why)
            | Self::BadUser(why)
            | Self::NoUser(why)
            | Self::UserConflict(why) => f.write_str(why),
            Self::ManyChanges => f.write_str(
                "many changes of users wait for the disk already: is it busy or gone? Try again",
            ),
            Self::ChangeTakesLong { seconds } => write!(
                f,
                "users are not written after {seconds}s, but may still be, and are changed then: is \
                 the disk busy or gone?"
            ),
            Self::SaveTakesLong { table, seconds } => write!(
                f,
                "table {table} is not written after {seconds}s, but may still be: is its disk busy \
                 or gone?"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_what_rfc_9457_has() {
        let json = Problem::NoTable("a\"b".to_owned()).json().to_string();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let wanted = serde_json::json!({
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "there is no table a\"b; start with --table a\"b=FILE",
        });
        assert_eq!(read, wanted);
    }
}
