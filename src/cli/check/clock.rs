use std::time::Duration;

use super::verdict::Verdict;
use crate::cli::within::within;
use crate::clock::unix_now;
use crate::config::{Config, Source};
use crate::net::time_at;

/// For everything from name to answer.
const LIMIT_IN_ALL: Duration = Duration::from_secs(8);

/// Middle proxies refuse more (`doc/protocol.md` §4).
const MAX_SKEW: u64 = 30;
const HOST: &str = "core.telegram.org";

/// Compares this machine's clock with the `Date` of an HTTP answer.
pub(super) fn check(config: &Config) -> Verdict {
    let (host, port) = time_server(config);
    let asked = host.clone();
    let answer = within(LIMIT_IN_ALL, move || time_at(&asked, port));
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
        3..=MAX_SKEW => Verdict::ok("clock", format!("{skew} s off {host}")),
        _ => Verdict::fail(
            "clock",
            format!(
                "{skew} s off {host}: middle proxies and TLS clients are refused; set it (NTP)"
            ),
        ),
    }
}

/// A mirror over plain HTTP, where the lists come from one; else Telegram.
fn time_server(config: &Config) -> (String, u16) {
    let mirror = match &config.telegram.config {
        Some(Source::Url(url)) => url.strip_prefix("http://"),
        _ => None,
    };
    let place = mirror.and_then(|rest| rest.split('/').next());
    let Some(place) = place else {
        return (HOST.to_owned(), 80);
    };
    match place
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse()))
    {
        Some((host, Ok(port))) => (host.trim_matches(['[', ']']).to_owned(), port),
        _ => (place.to_owned(), 80),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn only_a_wrong_clock_fails() {
        let grade = |skew| judge(skew, "h").grade;
        assert_eq!(
            [grade(0), grade(30), grade(31)],
            [Grade::Ok, Grade::Ok, Grade::Fail]
        );
    }
}
