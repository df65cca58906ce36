//! `core.telegram.org`, as far as a proxy asks it (`doc/protocol.md` §5).

use std::sync::Arc;

use crate::control::Http;
use crate::counters::Counter;
use crate::crypto::fill_random;
use crate::host::Stream;
use crate::shared::Shared;

const MAX_REQUEST: usize = 8192;

pub(crate) async fn serve(shared: Arc<Shared>, stream: Stream) {
    let Some(path) = request_path(&stream).await else {
        return;
    };
    shared.counters.add(Counter::http_requests, 1);
    let manners = shared.http();
    let body = match path.as_str() {
        "/getProxySecret" => shared.options.secret.clone(),
        "/getProxyConfig" | "/getProxyConfigV6" => match &manners {
            Http::Config(text) => text.clone().into_bytes(),
            _ => shared.config_text(path.ends_with("V6")).into_bytes(),
        },
        _ => {
            let _ = answer(&stream, 404, b"not here", 8).await;
            return;
        }
    };
    let _ = answer_as_told(&shared, &stream, manners, body).await;
}

async fn answer_as_told(
    shared: &Shared,
    stream: &Stream,
    manners: Http,
    mut body: Vec<u8>,
) -> std::io::Result<()> {
    match manners {
        Http::Normal | Http::Config(_) => answer(stream, 200, &body, body.len()).await,
        Http::Down => Ok(()),
        Http::Silent => {
            stream.drain().await;
            Ok(())
        }
        Http::Slow(pause) => {
            let head = head(200, body.len());
            for byte in head.into_bytes().into_iter().chain(body) {
                stream.write_all(&[byte]).await?;
                shared.host.sleep(pause).await;
            }
            Ok(())
        }
        Http::Status(status) => answer(stream, status, b"no, sorry", 9).await,
        Http::Portal => {
            let page = b"<html><body>Please log in to this network.</body></html>";
            answer(stream, 200, page, page.len()).await
        }
        Http::Garbage => {
            fill_random(&mut body);
            answer(stream, 200, &body, body.len()).await
        }
        Http::Truncated => answer(stream, 200, &body[..body.len() / 2], body.len()).await,
        Http::Dated(offset) => {
            let now = (i64::from(shared.host.unix_time()) + offset) as u64;
            let date = format!("Date: {}\r\nContent-Type", http_date(now));
            let head = head(200, body.len()).replacen("Content-Type", &date, 1);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await
        }
        Http::Empty => answer(stream, 200, b"", 0).await,
    }
}

async fn answer(stream: &Stream, status: u16, body: &[u8], told_len: usize) -> std::io::Result<()> {
    let head = head(status, told_len);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

fn head(status: u16, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// As in `Sun, 06 Nov 1994 08:49:37 GMT`; the weekday is always the same.
fn http_date(time: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, time / 86_400);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let [hour, minute, second] = [time / 3600 % 24, time / 60 % 60, time % 60];
    let (day, month) = (day + 1, MONTHS[month]);
    format!("Sun, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

async fn request_path(stream: &Stream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(length @ 1..) if request.len() < MAX_REQUEST => {
                request.extend_from_slice(&byte[..length]);
            }
            _ => return None,
        }
    }
    let request = String::from_utf8(request).ok()?;
    let mut words = request.split_whitespace();
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => Some(path.to_owned()),
        _ => None,
    }
}
