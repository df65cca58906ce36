//! Requests of any kind over HTTPS, one a connection, for threads that may wait.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, RootCertStore};

use super::get::GetError;
use super::through;
use crate::tls;
use crate::wire::http::{HttpError, Reply, Url};

/// For everything.
const LIMIT: Duration = Duration::from_secs(30);

/// Bytes of an answer, its head included.
const MAX_REPLY: usize = 256 * 1024;

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// Besides those of the connection and of the body.
    pub(crate) fields: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

/// The answer of a server that one of `roots` vouches for; blocks.
pub(crate) fn ask(roots: &Arc<RootCertStore>, request: &Request<'_>) -> Result<Reply, GetError> {
    let url = Url::parse(request.url)?;
    if !url.is_tls {
        return Err(GetError::Insecure);
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|_| HttpError::BadUrl)?;
    let deadline = Instant::now() + LIMIT;
    let mut socket = through::connect(None, &url.host, url.port, deadline)?;
    let mut connection = ClientConnection::new(tls::client(roots)?, name)?;
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    let told = stream.write_all(&written(&url, request));
    told.and_then(|()| stream.flush()).map_err(of_tls)?;
    let to_head = request.method == "HEAD";
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = match stream.read(&mut part) {
            // The end that TLS itself announces is missing: anybody may have cut it off.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(HttpError::Truncated.into());
            }
            read => read.map_err(of_tls)?,
        };
        received.extend_from_slice(part.get(..length).unwrap_or_default());
        match Reply::parse(&received, to_head, length == 0)? {
            Some(reply) => return Ok(reply),
            None if received.len() <= MAX_REPLY => {}
            None => return Err(GetError::TooLong),
        }
    }
}

fn written(url: &Url, request: &Request<'_>) -> Vec<u8> {
    let (method, body) = (request.method, request.body);
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        url.path(),
        url.authority()
    );
    for (name, value) in request.fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// rustls hides its errors in those of the stream.
fn of_tls(error: io::Error) -> GetError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner.cloned() {
        Some(error) => GetError::Tls(error),
        None => GetError::Connection(error),
    }
}
