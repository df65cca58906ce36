//! Whether this machine's clock is right.

use std::time::Duration;

use super::verdict::Verdict;
use crate::cli::within::within;
use crate::clock::unix_now;
use crate::config::{Config, Source};
use crate::http::time_at;
use crate::wire::http::Url;
use crate::wire::rpc::MAX_CLOCK_OFFSET;

/// From the lookup of the name to the whole answer.
const LIMIT_IN_ALL: Duration = Duration::from_secs(8);

const HOST: &str = "core.telegram.org";

/// Compares this machine's clock with the `Date` of an HTTP answer.
pub(super) fn check(config: &Config) -> Verdict {
    let (host, port) = time_server(config.telegram.config.as_ref());
    let (asked, via) = (host.clone(), config.telegram.via.clone());
    let answer = within(LIMIT_IN_ALL, move || time_at(via.as_deref(), &asked, port));
    match answer.unwrap_or_else(|| Err("no answer in time".to_owned())) {
        Ok(theirs) => judge(unix_now().abs_diff(theirs), &host),
        Err(problem) => Verdict::warn(
            "clock",
            format!("cannot be compared with {host}: {problem}; see that NTP runs"),
        ),
    }
}

fn judge(skew: u64, host: &str) -> Verdict {
    match skew {
        0..=2 => Verdict::ok("clock", format!("as at {host}")),
        _ if skew <= u64::from(MAX_CLOCK_OFFSET) => {
            Verdict::ok("clock", format!("{skew} s off {host}"))
        }
        _ => Verdict::fail(
            "clock",
            format!(
                "{skew} s off {host}: middle proxies and TLS clients are refused; set it (NTP)"
            ),
        ),
    }
}

/// A mirror over plain HTTP, where the lists come from one; else Telegram.
fn time_server(lists: Option<&Source>) -> (String, u16) {
    let mirror = match lists {
        Some(Source::Url(url)) => Url::parse(url).ok().filter(|url| !url.is_tls),
        _ => None,
    };
    mirror.map_or_else(|| (HOST.to_owned(), 80), |url| (url.host, url.port))
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn the_mirror_is_asked_that_can_be_asked_in_plain() {
        for (url, host, port) in [
            ("http://mirror.example/a/b", "mirror.example", 80),
            ("http://mirror.example:8080", "mirror.example", 8080),
            ("http://[2001:db8::1]:8080/", "2001:db8::1", 8080),
            ("http://192.0.2.1?a=b", "192.0.2.1", 80),
            ("https://mirror.example/", HOST, 80),
        ] {
            let source = Source::Url(url.to_owned());
            assert_eq!(time_server(Some(&source)), (host.to_owned(), port), "{url}");
        }
        let file = Source::File("/list".into());
        assert_eq!(time_server(Some(&file)), (HOST.to_owned(), 80));
        assert_eq!(time_server(None), (HOST.to_owned(), 80));
    }

    #[test]
    fn only_a_wrong_clock_fails() {
        let grade = |skew| judge(skew, "h").grade;
        assert_eq!(
            [grade(0), grade(30), grade(31)],
            [Grade::Ok, Grade::Ok, Grade::Fail]
        );
    }
}
