use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConnection, Error, RootCertStore, StreamOwned};

use super::failure::{BadCertificate, Failure, WebFailure, WebStep};
use super::pace::Pace;
use crate::http::TimedStream;
use crate::tls;
use crate::wire::http::{BodyReader, Fields, ResponseHead};

/// More than a page, or what comes for some questions, is.
const MAX_ANSWER: usize = 256 * 1024;

/// Of what comes at once.
const STEP: usize = 4096;

/// Fields without which some servers and CDNs answer nobody.
pub(super) const OF_BROWSERS: &str = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n";

type Stream = StreamOwned<ClientConnection, TimedStream>;

/// Where requests go.
pub(super) struct Server<'a> {
    pub(super) address: SocketAddr,
    pub(super) name: &'a str,
    pub(super) roots: &'a Arc<RootCertStore>,
}

/// Requests to one server over HTTPS, on one connection as long as it stands; a next one
/// waits for its turn. Blocks.
pub(super) struct WebConnection<'a> {
    server: Server<'a>,
    pace: Pace,
    limit: Duration,
    stream: Option<Stream>,
    /// For all that is asked, without what was waited for turns.
    left: Duration,
    /// Of the first connection: until it is there, and until TLS is.
    pub(super) times: Option<(Duration, Duration)>,
}

/// An answer with its body.
pub(super) struct Reply {
    pub(super) status: u16,
    head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The value of a field that is there once.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        str::from_utf8(Fields::of(&self.head).only(name)?).ok()
    }
}

impl<'a> WebConnection<'a> {
    /// `pace`: its first turn has come.
    pub(super) fn new(server: Server<'a>, pace: Pace, limit: Duration) -> Self {
        Self {
            server,
            pace,
            limit,
            stream: None,
            left: limit,
            times: None,
        }
    }

    /// The answer to a request whose head is `head` and `fields`, each line with its end.
    pub(super) fn ask(
        &mut self,
        step: WebStep,
        line: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Reply, Failure> {
        let name = self.server.name;
        let length = match line.starts_with("POST") {
            true => format!("Content-Length: {}\r\n", body.len()),
            false => String::new(),
        };
        let head = format!("{line} HTTP/1.1\r\nHost: {name}\r\n{OF_BROWSERS}{fields}{length}\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        let is_kept = self.stream.is_some();
        match self.exchange(step, &request) {
            // A server may end a connection between two requests.
            Err(Failure::Web(WebFailure::Closed(_))) if is_kept => self.exchange(step, &request),
            reply => reply,
        }
    }

    fn exchange(&mut self, step: WebStep, request: &[u8]) -> Result<Reply, Failure> {
        let mut stream = self.take_stream()?;
        let began = Instant::now();
        let asked = exchange(&mut stream, step, request);
        self.left = self.left.saturating_sub(began.elapsed());
        let (reply, keeps_alive) = asked?;
        if keeps_alive {
            self.stream = Some(stream);
        }
        Ok(reply)
    }

    /// Sends `request`, whose answer is the caller's to read.
    pub(super) fn into_stream(mut self, request: &[u8]) -> Result<Stream, Failure> {
        let mut stream = self.take_stream()?;
        let sent = stream.write_all(request).and_then(|()| stream.flush());
        sent.map_err(|error| of_io(&error, WebStep::WebSocket))?;
        Ok(stream)
    }

    fn take_stream(&mut self) -> Result<Stream, Failure> {
        let kept = self.stream.take();
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.open()?,
        };
        stream.sock.set_deadline(Instant::now() + self.left);
        Ok(stream)
    }

    fn open(&mut self) -> Result<Stream, Failure> {
        if self.times.is_some() {
            let wait = self.pace.take_turn(self.server.address, Instant::now());
            thread::sleep(wait);
        }
        let began = Instant::now();
        let deadline = began + self.left;
        let server = &self.server;
        let socket = TimedStream::straight(&[server.address], deadline, self.limit);
        let socket = socket.map_err(Failure::of_connecting)?;
        let connected = began.elapsed();
        let stream = shake(server, socket);
        self.times
            .get_or_insert((connected, began.elapsed() - connected));
        self.left = self.left.saturating_sub(began.elapsed());
        stream
    }
}

/// A connection with TLS on it, for a certificate that is right.
fn shake(server: &Server<'_>, mut socket: TimedStream) -> Result<Stream, Failure> {
    let of_error = |error: Error| Failure::Web(of_tls(&error));
    let name = ServerName::try_from(server.name.to_owned());
    let name = name.map_err(|error| Failure::Web(WebFailure::Tls(error.to_string())))?;
    let config = tls::client(server.roots).map_err(of_error)?;
    let mut connection = ClientConnection::new(config, name).map_err(of_error)?;
    while connection.is_handshaking() {
        let shaken = connection.complete_io(&mut socket);
        shaken.map_err(|error| of_io(&error, WebStep::Tls))?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// With whether the connection may be asked again.
fn exchange(stream: &mut Stream, step: WebStep, request: &[u8]) -> Result<(Reply, bool), Failure> {
    let broken = |error: io::Error| of_io(&error, step);
    let strange = || Failure::Web(WebFailure::NotHttp(step));
    stream.write_all(request).map_err(broken)?;
    stream.flush().map_err(broken)?;
    let mut received = Vec::new();
    let head = loop {
        match ResponseHead::parse(&received, false).map_err(|_| strange())? {
            Some(head) if head.is_interim() => {
                received.drain(..head.len);
            }
            Some(head) => break head,
            None if read_more(stream, &mut received).map_err(broken)? == 0 => {
                return Err(match received.is_empty() {
                    true => Failure::Web(WebFailure::Closed(step)),
                    false => strange(),
                });
            }
            None => {}
        }
    };
    let mut rest = received.split_off(head.len.min(received.len()));
    let mut reader = BodyReader::new(head.framing);
    let mut body = Vec::new();
    loop {
        let mut input = rest.as_mut_slice();
        while let Some(data) = reader.next(&mut input).map_err(|_| strange())? {
            body.extend_from_slice(data);
        }
        let unread = input.len();
        if reader.is_done() {
            let reply = Reply {
                status: head.status,
                head: received,
                body,
            };
            return Ok((reply, head.keeps_alive && unread == 0));
        }
        if body.len() > MAX_ANSWER {
            return Err(strange());
        }
        rest.clear();
        if read_more(stream, &mut rest).map_err(broken)? == 0 {
            if !reader.may_end() {
                return Err(strange());
            }
            let reply = Reply {
                status: head.status,
                head: received,
                body,
            };
            return Ok((reply, false));
        }
    }
}

/// How much came; 0 is the end, which many servers of TLS leave unsaid.
pub(super) fn read_more(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut part = [0; STEP];
    let length = match stream.read(&mut part) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
        read => read?,
    };
    received.extend_from_slice(part.get(..length).unwrap_or_default());
    Ok(length)
}

/// The `Date` of the site at `address` with this name.
pub(super) fn date_at(
    address: SocketAddr,
    name: &str,
    limit: Duration,
    roots: &Arc<RootCertStore>,
) -> Option<String> {
    let server = Server {
        address,
        name,
        roots,
    };
    let mut connection = WebConnection::new(server, Pace::default(), limit);
    let fields = "Connection: close\r\n";
    let reply = connection.ask(WebStep::Page, "GET /", fields, &[]).ok()?;
    Some(reply.field("date")?.to_owned())
}

/// What it means that a connection breaks while `step` is waited for.
pub(super) fn of_io(error: &io::Error, step: WebStep) -> Failure {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        return Failure::Web(of_tls(error));
    }
    Failure::Web(match error.kind() {
        ErrorKind::TimedOut => WebFailure::Silent(step),
        _ => WebFailure::Closed(step),
    })
}

fn of_tls(error: &Error) -> WebFailure {
    let Error::InvalidCertificate(why) = error else {
        return WebFailure::Tls(error.to_string());
    };
    WebFailure::Certificate(match why {
        CertificateError::UnknownIssuer => BadCertificate::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            BadCertificate::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            BadCertificate::NotYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            BadCertificate::OtherName
        }
        other => BadCertificate::Other(other.to_string()),
    })
}
