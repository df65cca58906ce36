use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::verdict::Verdict;
use crate::cli::within::within;
use crate::config::{Config, Source};

/// For one connect or read, and for everything from name to answer.
const LIMIT: Duration = Duration::from_secs(5);
const LIMIT_IN_ALL: Duration = Duration::from_secs(8);
/// Middle proxies refuse more (`doc/protocol.md` §4).
const MAX_SKEW: u64 = 30;
const MAX_ANSWER: u64 = 4096;
const HOST: &str = "core.telegram.org";

/// Compares this machine's clock with the `Date` of an HTTP answer.
pub(super) fn check(config: &Config) -> Verdict {
    let (host, port) = time_server(config);
    let asked = host.clone();
    let answer = within(LIMIT_IN_ALL, move || ask(&asked, port));
    match answer.unwrap_or_else(|| Err("no answer in time".to_owned())) {
        Ok(theirs) => judge(now().abs_diff(theirs), &host),
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
    let mirror = match &config.telegram_config {
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

fn ask(host: &str, port: u16) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut addresses = (host, port).to_socket_addrs().map_err(text)?;
    let address: SocketAddr = addresses.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(text)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(text)?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .map_err(text)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    date_in(&answer).ok_or_else(|| "its answer has no Date".to_owned())
}

fn date_in(answer: &str) -> Option<u64> {
    let mut headers = answer.lines().filter_map(|line| line.split_once(':'));
    let (_, date) = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    parse_date(date.trim())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110) as seconds since 1970.
fn parse_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let clock: Vec<u64> = time
        .split(':')
        .map_while(|part| part.parse().ok())
        .collect();
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.split(' ').position(|name| name == *month)? as u64 + 1;
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    if !(1..=31).contains(&day) || !(1970..10_000).contains(&year) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    Some(days * 86_400 + hour % 24 * 3600 + minute % 60 * 60 + second % 61)
}

/// Counted in years that begin in March, so that a leap day is a year's last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month_from_march + 2) / 5 + day - 1 - 719_468
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;
    use crate::log::utc;

    #[test]
    fn dates() {
        assert_eq!(
            parse_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            parse_date("Tue, 29 Feb 2000 00:00:00 GMT"),
            Some(951_782_400)
        );
        for bad in [
            "",
            "Sun, 06 Nov 1994",
            "a, b c d e GMT",
            "Sun, 06 ovD 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        let answer = "HTTP/1.1 301 x\r\nServer: y\r\ndate: Thu, 01 Jan 1970 00:00:09 GMT\r\n\r\n";
        assert_eq!(date_in(answer), Some(9));
    }

    #[test]
    fn days_are_those_of_the_log() {
        for day in (0..40_000).step_by(13) {
            let seconds = day * 86_400;
            let text = utc(UNIX_EPOCH + Duration::from_secs(seconds));
            let part = |range: std::ops::Range<usize>| text[range].parse().unwrap();
            assert_eq!(days_since_1970(part(0..4), part(5..7), part(8..10)), day);
        }
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
