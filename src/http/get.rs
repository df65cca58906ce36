//! Pages over HTTP and HTTPS. Libraries are too large for routers: ureq, the smallest
//! that can use our TLS, adds 200 KiB on MIPS before any TLS, and minreq brings aws-lc.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, RootCertStore};

use super::through;
use crate::config::Via;
use crate::tls;
use crate::wire::http::{Answer, HttpError, Url};
use crate::wire::http_date;

/// For everything, redirects included.
const LIMIT: Duration = Duration::from_secs(20);
const MAX_REDIRECTS: usize = 3;

/// Bytes of an answer that are not its body: headers, the sizes of chunks.
const MAX_OVERHEAD: usize = 32 * 1024;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum GetError {
    Connection(io::Error),
    Tls(rustls::Error),
    Http(HttpError),
    Status(u16),
    Redirects,
    /// From https to http.
    Insecure,
    TooLong,
}

pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    /// The server's time, in seconds since 1970.
    pub(crate) date: Option<u64>,
}

/// A page of at most `limit` bytes over HTTP or HTTPS, by way of `via` if there is one;
/// blocks.
pub(crate) fn get(via: Option<&Via>, url: &str, limit: usize) -> Result<Page, GetError> {
    get_trusting(&tls::public_roots, via, url, limit)
}

/// Makes the authorities to trust, when a server is asked over TLS and not before.
type Roots<'a> = &'a dyn Fn() -> Arc<RootCertStore>;

fn get_trusting(
    roots: Roots<'_>,
    via: Option<&Via>,
    url: &str,
    limit: usize,
) -> Result<Page, GetError> {
    let deadline = Instant::now() + LIMIT;
    let mut url = Url::parse(url)?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = ask(roots, via, &url, limit, deadline)?;
        let location = match answer.status {
            200..=299 => {
                let date = answer.date.and_then(|date| http_date::parse(&date));
                let body = answer.body;
                return Ok(Page { body, date });
            }
            301 | 302 | 303 | 307 | 308 => answer.location.ok_or(HttpError::Malformed)?,
            status => return Err(GetError::Status(status)),
        };
        let next = url.join(&location)?;
        if url.is_tls && !next.is_tls {
            return Err(GetError::Insecure);
        }
        url = next;
    }
    Err(GetError::Redirects)
}

fn ask(
    roots: Roots<'_>,
    via: Option<&Via>,
    url: &Url,
    limit: usize,
    deadline: Instant,
) -> Result<Answer, GetError> {
    let mut stream = through::connect(via, &url.host, url.port, deadline)?;
    if !url.is_tls {
        return exchange(&mut stream, url, limit);
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|_| HttpError::BadUrl)?;
    let mut connection = ClientConnection::new(tls::client(&roots())?, name)?;
    let mut stream = rustls::Stream::new(&mut connection, &mut stream);
    exchange(&mut stream, url, limit)
}

fn exchange(stream: &mut (impl Read + Write), url: &Url, limit: usize) -> Result<Answer, GetError> {
    stream.write_all(url.request().as_bytes())?;
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = match stream.read(&mut part) {
            // The end that TLS itself announces is missing: anybody may have cut it off.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(HttpError::Truncated.into());
            }
            read => read?,
        };
        received.extend_from_slice(part.get(..length).unwrap_or_default());
        match Answer::parse(&received, length == 0)? {
            Some(answer) if answer.body.len() <= limit => return Ok(answer),
            None if received.len() <= limit + MAX_OVERHEAD => {}
            _ => return Err(GetError::TooLong),
        }
    }
}

impl From<io::Error> for GetError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<rustls::Error> for GetError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<HttpError> for GetError {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "{error}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Http(error) => write!(f, "{error}"),
            Self::Status(status) => write!(f, "the server answers with status {status}"),
            Self::Redirects => write!(f, "more than {MAX_REDIRECTS} redirects"),
            Self::Insecure => write!(f, "redirected from https to http"),
            Self::TooLong => write!(f, "the page is too long"),
        }
    }
}

impl std::error::Error for GetError {}

#[cfg(test)]
mod tests;
