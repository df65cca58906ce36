use std::fmt;
use std::io;
use std::path::PathBuf;

use instant_acme::{Error, Problem};

use super::examine::AcmeError;
use crate::http::GetError;
use crate::wire::http_date;

/// Letters of what an authority says, as far as they are repeated.
const MAX_DETAIL: usize = 300;

/// What stands before the word of a kind of problem.
const KINDS: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no way to the authority, or it says nothing that makes sense.
    Unreached(String),
    Refused(Refusal),
    /// It offers other ways to prove a name than ours.
    NoChallenge,
    /// It has not decided in time.
    Slow,
    /// What it has given.
    Unusable(String),
    Unkept(PathBuf, io::Error),
    Config(AcmeError),
    /// A reload wants no certificate for the host any more.
    Unwanted,
}

/// What an authority says no with.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The last word of its kind, as RFC 8555 §6.7 has them.
    pub(crate) kind: String,
    detail: String,
    /// It wants to be asked again then, in seconds since 1970.
    pub(crate) until: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(problem: &Problem, until: Option<u64>) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let parts = problem.subproblems.iter();
        let said = [problem.detail.as_deref()].into_iter();
        let said = said.chain(parts.map(|part| part.detail.as_deref()));
        let said: Vec<&str> = said.flatten().collect();
        Self {
            kind: plain(kind.strip_prefix(KINDS).unwrap_or(kind)),
            detail: plain(&said.join("; ")),
            until,
        }
    }
}

/// Without what a terminal would obey, and not too much of it.
fn plain(text: &str) -> String {
    let letters = text.chars().map(|one| match one.is_control() {
        true => ' ',
        false => one,
    });
    letters.take(MAX_DETAIL).collect()
}

impl Failure {
    /// `until`: when the authority that refused wants to be asked again.
    pub(crate) fn of(error: Error, until: Option<u64>) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(Refusal::new(&problem, until)),
            Error::Other(inner) => match inner.downcast::<GetError>() {
                Ok(error) => Self::Unreached(plain(&reached(&error))),
                Err(other) => Self::Unreached(plain(&other.to_string())),
            },
            error => Self::Unreached(plain(&format!("it does not answer as it should: {error}"))),
        }
    }

    pub(crate) fn is_of_kind(&self, kind: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.kind == kind)
    }

    /// The authority has not been asked for anything that it counts.
    pub(crate) fn costs_nothing(&self) -> bool {
        matches!(
            self,
            Self::Unreached(_) | Self::Unkept(..) | Self::Config(_)
        )
    }

    /// What was ordered leads nowhere any more.
    pub(crate) fn ends_order(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::NoChallenge | Self::Unusable(_)
        )
    }
}

fn reached(error: &GetError) -> String {
    match error {
        GetError::Tls(error) => {
            format!(
                "{error}; if its HTTPS is vouched for by an authority of its own, name that with ca="
            )
        }
        GetError::Insecure => "it names http:// where https:// must be".to_owned(),
        error => error.to_string(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(why) => write!(
                f,
                "the authority was not reached: {why}; see that this machine reaches it, and that \
                 directory= is right if it was given"
            ),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoChallenge => f.write_str(
                "the authority does not offer to look at port 443 (tls-alpn-01); take one that \
                 does, as Let's Encrypt",
            ),
            Self::Slow => f.write_str(
                "the authority has not decided in time; nothing is to be done, if that does not \
                 last",
            ),
            Self::Unusable(why) => write!(
                f,
                "the authority gave what cannot be shown: {why}; take another authority, if that \
                 does not end"
            ),
            Self::Unkept(path, error) => write!(
                f,
                "cannot write {}: {error}; {}",
                path.display(),
                crate::config::cure(error, "give a writable --data-dir")
            ),
            Self::Config(error) => error.fmt(f),
            Self::Unwanted => f.write_str("it is not wanted any more"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            detail,
            until,
        } = self;
        write!(f, "the authority says no ({kind}: {detail}); ")?;
        let way_out = match &**kind {
            "dns" => "see that the name's A and AAAA records lead to this machine's public address",
            "connection" | "tls" | "unauthorized" | "incorrectResponse" => {
                "see that port 443 of the name leads to a --listen port of this proxy, from \
                 everywhere and by every A and AAAA record of it: no firewall, web server or CDN \
                 in between"
            }
            "rateLimited" => {
                "it has been asked too often for this name or from this address: wait, and try \
                 things out with staging"
            }
            "caa" => "the name's CAA record must allow this authority, or be gone",
            "rejectedIdentifier" | "unsupportedIdentifier" => {
                "this authority gives none for such a name: take another name"
            }
            "invalidContact" | "unsupportedContact" => "give --web-acme a mail address of yours",
            "externalAccountRequired" => {
                "this authority wants an account that was made at its site, which is not known \
                 here: take another one, as Let's Encrypt"
            }
            "userActionRequired" => "do what it asks for, then reload",
            "serverInternal" => "nothing is to be done, if that does not last",
            _ => "see what it means, and that the name and this machine's clock are right",
        };
        f.write_str(way_out)?;
        match until {
            Some(until) => write!(f, "; it wants no more before {}", http_date::format(*until)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, detail: &str) -> String {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": format!("{KINDS}{kind}"),
            "detail": detail,
        }))
        .unwrap();
        Failure::of(Error::Api(problem), Some(784_111_777)).to_string()
    }

    #[test]
    fn what_an_authority_says_comes_with_a_way_out_and_cannot_write_lines() {
        let said = refused("dns", "no A record\nfor \u{1b}[31mx");
        assert!(said.contains("(dns: no A record for  [31mx)"), "{said}");
        assert!(said.contains("A and AAAA records lead to this machine"));
        assert!(
            said.ends_with("no more before Sun, 06 Nov 1994 08:49:37 GMT"),
            "{said}"
        );
        assert!(refused("unauthorized", "x").contains("port 443"));
        assert!(refused("never heard of", "x").contains("see what it means"));
        assert!(refused("rateLimited", &"x".repeat(9000)).len() < 700);
    }
}
