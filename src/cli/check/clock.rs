use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::verdict::Verdict;
use crate::config::{Config, Source};
use crate::wire::http_date;

const LIMIT: Duration = Duration::from_secs(5);
/// Middle proxies refuse more (`doc/protocol.md` §4).
const MAX_SKEW: u64 = 30;
const MAX_ANSWER: u64 = 4096;
const HOST: &str = "core.telegram.org";

/// Compares this machine's clock with the `Date` of an HTTP answer.
pub(super) fn check(config: &Config) -> Verdict {
    let (host, port) = time_server(config);
    match ask(&host, port) {
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
    http_date::in_answer(&answer).ok_or_else(|| "its answer has no Date".to_owned())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
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
