//! The page of metrics, over HTTP.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::callers;
use crate::guard::half_open::HalfOpen;
use crate::net::{Executor, Listener, Reactor, Socket};

/// A scraper that asks or reads slower than this is hung up on.
const LIMIT: Duration = Duration::from_secs(5);

/// Connections that have not asked yet; for one more the oldest of them is closed.
const MAX_SILENT: usize = 8;

/// Connections that are being answered, likewise: each holds a page, some 20 KiB.
const MAX_READERS: usize = 4;

/// No scraper sends longer request headers.
const MAX_REQUEST: usize = 4096;

/// Answers `GET /metrics` with what `render` writes. Scrapers are few; several
/// are served at once, so that a silent or slow one is in nobody's way.
pub(super) async fn serve(
    reactor: Rc<Reactor>,
    executor: Rc<Executor>,
    listener: Listener,
    render: impl Fn() -> String + 'static,
) {
    let (silent, readers) = (HalfOpen::new(MAX_SILENT), HalfOpen::new(MAX_READERS));
    let render = Rc::new(render);
    let clock = reactor.clone();
    let answer = move |socket: Socket| {
        let (silent, readers) = (silent.clone(), readers.clone());
        let (reactor, render) = (clock.clone(), render.clone());
        async move {
            let from = callers::origin_of(&socket);
            let asked =
                callers::seated(&reactor, &silent, from, LIMIT, method_and_path(&socket)).await;
            if let Some(Ok(request)) = asked {
                let answering = answer(&socket, request, &*render);
                // An unfinished answer leaves nothing to clean up.
                let _ = callers::seated(&reactor, &readers, from, LIMIT, answering).await;
            }
        }
    };
    callers::serve(&executor, &listener, answer).await;
}

async fn answer(
    socket: &Socket,
    request: Option<String>,
    render: &impl Fn() -> String,
) -> io::Result<()> {
    let (status, body) = match request.as_deref() {
        Some("GET /metrics" | "GET /") => ("200 OK", render()),
        Some(other) if other.starts_with("GET ") => ("404 Not Found", "try /metrics\n".into()),
        Some(_) => ("405 Method Not Allowed", "only GET\n".into()),
        None => ("400 Bad Request", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown_write()?;
    // The scraper closes first, so that it has read everything by then.
    let mut rest = [0; 64];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Method and path, or `None` if that is not HTTP.
async fn method_and_path(socket: &Socket) -> io::Result<Option<String>> {
    let Some(request) = callers::read_request(socket, b"\r\n\r\n", MAX_REQUEST).await? else {
        return Ok(None);
    };
    let line = request.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let mut words = line.split(' ');
    Ok(match (words.next(), words.next(), words.next()) {
        (Some(method), Some(path), Some(version)) if version.starts_with("HTTP/1.") => {
            let path = path.split('?').next().unwrap_or(path);
            Some(format!("{method} {path}"))
        }
        _ => None,
    })
}
