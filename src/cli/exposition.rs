use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::net::{Listener, Reactor, Socket};

/// A scraper that is slower than this is hung up on.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// No scraper sends longer request headers.
const MAX_REQUEST: usize = 4096;

/// Answers `GET /metrics` with what `render` writes, one request at a time:
/// scrapers are few, and a slow one costs the others five seconds at most.
pub(super) async fn serve(reactor: Rc<Reactor>, listener: Listener, render: impl Fn() -> String) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let answering = answer(&socket, &render);
                // An unfinished request leaves nothing to clean up.
                let _ = reactor.timeout(REQUEST_LIMIT, answering).await;
            }
            Err(_) => reactor.sleep(REQUEST_LIMIT).await,
        }
    }
}

async fn answer(socket: &Socket, render: &impl Fn() -> String) -> io::Result<()> {
    let request = read_request(socket).await?;
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
async fn read_request(socket: &Socket) -> io::Result<Option<String>> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = socket.read(&mut buffer).await?;
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || request.len() > MAX_REQUEST {
            return Ok(None);
        }
    }
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
