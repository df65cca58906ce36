//! The site behind a WEB proxy: a small HTTP/1.1 server that keeps what it is asked.
//!
//! `/` is a page, `/bytes/N` so many bytes, `/chunked/N` the same in chunks with a
//! trailer, `/hints` has a 103 before it, `/echo` answers with the body. A request for an
//! upgrade gets one, whose bytes come back. All else is not there, in the site's words.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use smol::io::AsyncWriteExt;
use smol::{Async, Task};

use crate::harness::free_address;
use crate::shared::lock;
use crate::socket::read_some;

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Visit {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// `GET /path`.
    pub fn what(&self) -> String {
        let text = self.text();
        let words: Vec<_> = text.split(' ').take(2).collect();
        words.join(" ")
    }
}

/// Runs until it is dropped.
pub struct Origin {
    address: SocketAddr,
    visits: Visits,
    _accepting: Task<()>,
}

type Visits = Arc<Mutex<Vec<Visit>>>;

impl Origin {
    #[allow(clippy::new_without_default)]
    pub fn start() -> io::Result<Self> {
        let address = free_address();
        let listener = Async::new(TcpListener::bind(address)?)?;
        let visits = Visits::default();
        Ok(Self {
            address,
            _accepting: smol::spawn(accept(visits.clone(), listener)),
            visits,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn visits(&self) -> Vec<Visit> {
        lock(&self.visits).clone()
    }

    /// Whether anything of what it was asked has this in it.
    pub fn has_seen(&self, text: &str) -> bool {
        let visits = lock(&self.visits);
        let mut all = visits
            .iter()
            .map(|visit| [&visit.head[..], &visit.body].concat());
        all.any(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    }
}

async fn accept(visits: Visits, listener: Async<TcpListener>) {
    let mut open: Vec<Task<()>> = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        open.retain(|one| !one.is_finished());
        let visits = visits.clone();
        open.push(smol::spawn(async move {
            let mut talk = Talk {
                stream,
                input: Vec::new(),
            };
            let _ = talk.serve(&visits).await;
        }));
    }
}

struct Talk {
    stream: Async<TcpStream>,
    input: Vec<u8>,
}

const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: origin\r\nContent-Length: 4\r\n\
    Connection: close\r\n\r\nbad\n";

impl Talk {
    async fn serve(&mut self, visits: &Visits) -> io::Result<()> {
        loop {
            let head = self.until(b"\r\n\r\n").await?;
            let text = String::from_utf8_lossy(&head).into_owned();
            let Some((method, target)) = first_line(&text) else {
                let body = Vec::new();
                lock(visits).push(Visit { head, body });
                return self.write(BAD).await;
            };
            if field(&text, "expect").is_some() {
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let body = self.body(&text).await?;
            let answered = body.clone();
            lock(visits).push(Visit { head, body });
            if field(&text, "upgrade").is_some() {
                return self.upgrade().await;
            }
            self.answer(&method, &target, &answered).await?;
            if field(&text, "connection").is_some_and(|value| value == "close") {
                return Ok(());
            }
        }
    }

    async fn upgrade(&mut self) -> io::Result<()> {
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n",
        )
        .await?;
        let mut bytes = std::mem::take(&mut self.input);
        loop {
            self.write(&bytes).await?;
            bytes = read_some(&self.stream).await?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<()> {
        let is_head = method == "HEAD";
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let number = |prefix: &str| path.strip_prefix(prefix)?.parse::<usize>().ok();
        if let Some(count) = number("/chunked/") {
            self.write(
                b"HTTP/1.1 200 OK\r\nServer: origin\r\nTransfer-Encoding: chunked\r\n\
                  Trailer: X-Sum\r\n\r\n",
            )
            .await?;
            if is_head {
                return Ok(());
            }
            for part in bytes_of(count).chunks(1000) {
                let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
                self.write(&chunk).await?;
            }
            return self.write(b"0\r\nX-Sum: 1\r\n\r\n").await;
        }
        if path == "/hints" {
            self.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
                .await?;
        }
        let (status, body) = match path {
            "/" | "/hints" => ("200 OK", b"<html><body>A site.</body></html>\n".to_vec()),
            "/echo" => ("200 OK", body.to_vec()),
            _ => match number("/bytes/") {
                Some(count) => ("200 OK", bytes_of(count)),
                None => ("404 Not Found", b"not on this site\n".to_vec()),
            },
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: origin\r\nX-Odd:  two  words \r\nSet-Cookie: a=1\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\nset-cookie: b=2\r\n\r\n",
            body.len()
        );
        self.write(head.as_bytes()).await?;
        match is_head {
            true => Ok(()),
            false => self.write(&body).await,
        }
    }

    async fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        if field(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = self.until(b"\r\n").await?;
                let line = String::from_utf8_lossy(&line).into_owned();
                let digits = line.split(';').next().unwrap_or_default().trim();
                let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
                if length == 0 {
                    while self.until(b"\r\n").await? != b"\r\n" {}
                    return Ok(body);
                }
                body.append(&mut self.take(length).await?);
                self.until(b"\r\n").await?;
            }
        }
        let length = field(head, "content-length").and_then(|value| value.parse().ok());
        self.take(length.unwrap_or(0)).await
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let mut places = self.input.windows(end.len());
            if let Some(at) = places.position(|window| window == end) {
                return Ok(self.input.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.more().await?;
        }
        Ok(self.input.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut bytes = read_some(&self.stream).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.append(&mut bytes);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes).await
    }
}

fn first_line(head: &str) -> Option<(String, String)> {
    let line = head.split("\r\n").next()?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        [method, target, version] if version.starts_with("HTTP/1.") => {
            Some(((*method).to_owned(), (*target).to_owned()))
        }
        _ => None,
    }
}

/// The value of a field, in small letters.
fn field(head: &str, name: &str) -> Option<String> {
    let fields = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|field| field.0.eq_ignore_ascii_case(name));
    named
        .next()
        .map(|field| field.1.trim().to_ascii_lowercase())
}

/// The same bytes each time.
fn bytes_of(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}
