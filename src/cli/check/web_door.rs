//! A page, a session and its WebSocket at a door of the WEB proxy, as an app has them.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::config::{Network, WebHost};
use crate::http::TimedStream;
use crate::wire::http::Answer;
use crate::wire::web::{Capability, HELLO, WELCOME, WebKey, token_in_page};
use crate::wire::websocket::accept_key;

/// For all of it.
const LIMIT: Duration = Duration::from_secs(5);

/// More than a page is.
const MAX_ANSWER: usize = 256 * 1024;

/// Of 16 bytes, as everybody may send it.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

/// Why an app would get nowhere.
#[derive(Debug)]
pub(super) enum DoorFailure {
    /// Nobody listens.
    Closed,
    Io(io::Error),
    #[cfg(feature = "tls")]
    Tls(rustls::Error),
    /// What is no HTTP, or no answer of ours.
    Strange(Step),
    Status(Step, u16),
}

/// What an app asks for, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Page,
    Session,
    WebSocket,
    End,
}

/// How a door is spoken to.
pub(super) enum Manner {
    /// The name of the field that says whose a request is, as a web server sends it.
    Plain(String),
    /// A relay has to say for whom it connects, and a connection from here may be one.
    Relayed,
    #[cfg(feature = "tls")]
    Tls(Arc<ClientConfig>),
}

impl Manner {
    /// Without TLS, from here.
    pub(super) fn without_tls(address: SocketAddr, relays: &[Network], header: &str) -> Self {
        let from = from_here(address).ip();
        match relays.iter().any(|relay| relay.contains(from)) {
            true => Self::Relayed,
            false => Self::Plain(header.to_owned()),
        }
    }
}

/// As the host's first link has it.
pub(super) fn key_of(host: &WebHost) -> Option<WebKey> {
    let named = host.secrets.first()?;
    Some(WebKey {
        secret: named.secret.key,
        is_padded: true,
    })
}

/// Where a listener at `address` is reached from here.
pub(super) fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// One loop through the door at `address`: page, session, WebSocket, end of the session.
/// Blocks.
pub(super) fn try_door(
    address: SocketAddr,
    manner: &Manner,
    host: &WebHost,
    key: &WebKey,
) -> Result<(), DoorFailure> {
    let door = Door {
        address: from_here(address),
        manner,
        host,
        deadline: Instant::now() + LIMIT,
    };
    let capability = Capability::of(key, &host.name, host.path.as_ref());
    let page = door.ask(Step::Page, "GET", &format!("?bridge={capability}"), "", &[])?;
    let bootstrap = token_in_page(&page.answer.body);
    let bootstrap = bootstrap.ok_or(DoorFailure::Strange(Step::Page))?;
    let bytes = "Content-Type: application/octet-stream\r\n";
    let fields = format!("Authorization: Bearer {bootstrap}\r\n{bytes}");
    let session = door.ask(Step::Session, "POST", "api/v1/session", &fields, &HELLO)?;
    let token = session.field("x-session-token");
    let token = token.filter(|_| session.answer.body == WELCOME);
    let token = token.ok_or(DoorFailure::Strange(Step::Session))?;
    let opened = door.open_websocket(token);
    let fields = format!("Authorization: Bearer {token}\r\n");
    let ended = door.ask(Step::End, "DELETE", "api/v1/session", &fields, &[]);
    opened?;
    ended?;
    Ok(())
}

struct Door<'a> {
    address: SocketAddr,
    manner: &'a Manner,
    host: &'a WebHost,
    deadline: Instant,
}

struct Received {
    answer: Answer,
    head: String,
}

impl Door<'_> {
    /// What a request is begun with.
    fn begin(&self, method: &str, path: &str) -> String {
        let base = self.host.path.as_ref();
        let base = base.map_or_else(String::new, |base| format!("{base}/"));
        let (relayed, told) = match self.manner {
            Manner::Relayed => ("PROXY UNKNOWN\r\n", String::new()),
            Manner::Plain(header) => ("", format!("{header}: {}\r\n", self.address.ip())),
            #[cfg(feature = "tls")]
            Manner::Tls(_) => ("", String::new()),
        };
        let host = &self.host.name;
        format!("{relayed}{method} /{base}{path} HTTP/1.1\r\nHost: {host}\r\n{told}")
    }

    /// One request, with `fields` in its head, in a connection of its own.
    fn ask(
        &self,
        step: Step,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> Result<Received, DoorFailure> {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let begin = self.begin(method, path);
        let head = format!("{begin}{fields}{length}Connection: close\r\n\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        let is_whole = |received: &[u8]| !matches!(Answer::parse(received, false), Ok(None));
        let received = self.exchange(&request, is_whole)?;
        let answer = Answer::parse(&received, true).ok().flatten();
        let answer = answer.ok_or(DoorFailure::Strange(step))?;
        if !(200..300).contains(&answer.status) {
            return Err(DoorFailure::Status(step, answer.status));
        }
        let head = head_of(&received);
        Ok(Received { answer, head })
    }

    /// The session's carrier, which is left again at once.
    fn open_websocket(&self, token: &str) -> Result<(), DoorFailure> {
        let begin = self.begin("GET", "api/v1/ws");
        let request = format!(
            "{begin}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: tproxy-v1.{token}\r\n\r\n"
        );
        let is_whole = |received: &[u8]| received.windows(4).any(|end| end == b"\r\n\r\n");
        let head = head_of(&self.exchange(request.as_bytes(), is_whole)?);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let accepted = field_of(&head, "sec-websocket-accept").map(str::as_bytes);
        let is_right = accepted
            == accept_key(KEY.as_bytes())
                .as_ref()
                .map(|key| key.as_slice());
        match status {
            Some(101) if is_right => Ok(()),
            None | Some(101) => Err(DoorFailure::Strange(Step::WebSocket)),
            Some(status) => Err(DoorFailure::Status(Step::WebSocket, status)),
        }
    }

    fn exchange(
        &self,
        request: &[u8],
        is_whole: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, DoorFailure> {
        let mut stream = TimedStream::straight(&[self.address], self.deadline, LIMIT)?;
        match self.manner {
            Manner::Plain(_) | Manner::Relayed => Ok(talk(&mut stream, request, is_whole)?),
            #[cfg(feature = "tls")]
            Manner::Tls(config) => {
                let name = ServerName::try_from(self.host.name.to_string());
                let name = name.map_err(io::Error::other)?;
                let connection = ClientConnection::new(config.clone(), name);
                let mut connection = connection.map_err(DoorFailure::Tls)?;
                let mut stream = rustls::Stream::new(&mut connection, &mut stream);
                Ok(talk(&mut stream, request, is_whole)?)
            }
        }
    }
}

/// What is answered to `request`, up to the connection's end or so far that it is whole.
fn talk(
    stream: &mut (impl Read + Write),
    request: &[u8],
    is_whole: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut received = Vec::new();
    let mut part = [0; 4096];
    while received.len() < MAX_ANSWER && !is_whole(&received) {
        match stream.read(&mut part) {
            Ok(0) => break,
            // Many servers of TLS end so.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            read => received.extend_from_slice(part.get(..read?).unwrap_or_default()),
        }
    }
    Ok(received)
}

fn head_of(received: &[u8]) -> String {
    let text = String::from_utf8_lossy(received);
    let head = text.split_once("\r\n\r\n").map_or(&*text, |(head, _)| head);
    head.to_owned()
}

fn field_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

impl From<io::Error> for DoorFailure {
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(inner) = error.get_ref()
            && let Some(tls) = inner.downcast_ref::<rustls::Error>()
        {
            return Self::Tls(tls.clone());
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl Received {
    fn field(&self, name: &str) -> Option<&str> {
        field_of(&self.head, name)
    }
}

impl fmt::Display for DoorFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("nobody listens there"),
            Self::Io(error) if error.kind() == ErrorKind::TimedOut => {
                write!(f, "no answer within {} s", LIMIT.as_secs())
            }
            Self::Io(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Strange(step) => write!(f, "{step} is not as it should be"),
            Self::Status(step, status) => write!(f, "{step} is answered by {status}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Page => "the page",
            Self::Session => "a session",
            Self::WebSocket => "its WebSocket",
            Self::End => "the end of a session",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::Config;

    const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                            Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";
    const SESSION: &str = "HTTP/1.1 200 OK\r\nX-Session-Token: abc\r\nContent-Length: 8\r\n\r\n\
                           \x11\0\0\0\0\0\0\0";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\n\
                        t=\"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ\";x";
    const GONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ";

    fn host() -> (WebHost, WebKey) {
        let config = Config::of(&[
            ("--web", "proxy.example.com"),
            ("--web-listen", "127.0.0.1:1"),
            ("--web-site", "/x"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]);
        let host = config.web.hosts[0].clone();
        let key = WebKey {
            secret: host.secrets[0].secret.key,
            is_padded: false,
        };
        (host, key)
    }

    /// What comes of `answers`, one a connection, and what was asked.
    fn tried(answers: [&'static str; 4]) -> (Result<(), DoorFailure>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers.into_iter().filter(|answer| !answer.is_empty()) {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        let (host, key) = host();
        let outcome = try_door(address, &Manner::Plain("X-From".to_owned()), &host, &key);
        (outcome, serving.join().unwrap())
    }

    #[test]
    fn a_page_and_a_session() {
        let (outcome, asked) = tried([PAGE, SESSION, UPGRADED, GONE]);
        assert!(outcome.is_ok(), "{outcome:?}");
        let first = "GET /?bridge=MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk HTTP/1.1\r\n";
        assert!(asked[0].starts_with(first), "{}", asked[0]);
        assert!(asked[0].contains("X-From: 127.0.0.1\r\n"));
        assert!(asked[1].contains(&format!("Authorization: Bearer {TOKEN}\r\n")));
        assert!(asked[2].starts_with("GET /api/v1/ws HTTP/1.1\r\n"));
        assert!(asked[2].contains("Sec-WebSocket-Protocol: tproxy-v1.abc\r\n"));
        assert!(asked[3].starts_with("DELETE /api/v1/session HTTP/1.1\r\n"));
        assert!(asked[3].contains("Authorization: Bearer abc\r\n"));
        // What a web server does that takes the fields of an upgrade away.
        let refused = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
        let (outcome, asked) = tried([PAGE, SESSION, refused, GONE]);
        let failure = outcome.unwrap_err().to_string();
        assert_eq!(failure, "its WebSocket is answered by 426");
        assert_eq!(asked.len(), 4, "the session stays");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let (outcome, _) = tried([not_found, "", "", ""]);
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "the page is answered by 404"
        );
        let site = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let (outcome, _) = tried([site, "", "", ""]);
        assert!(
            outcome
                .unwrap_err()
                .to_string()
                .contains("not as it should be")
        );
    }

    #[cfg(feature = "tls")]
    #[test]
    fn over_tls_by_the_host_s_name() {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::{
            CertificateError, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
        };

        use crate::tls;

        let made = rcgen::generate_simple_self_signed(["proxy.example.com".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = made.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let server = ServerConfig::builder_with_provider(tls::web_provider())
            .with_protocol_versions(tls::WEB_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let server = Arc::new(server);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = [PAGE, SESSION, UPGRADED, GONE];
        let serving = std::thread::spawn(move || {
            let mut asked = 0;
            for answer in answers.into_iter().chain([""]) {
                let (stream, _) = listener.accept().unwrap();
                let connection = ServerConnection::new(server.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream);
                let mut request = [0; 1024];
                if stream.read(&mut request).is_ok_and(|length| length > 0) {
                    asked += 1;
                    // Without an end that is TLS's own, as many servers do it.
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            asked
        });
        let (host, key) = host();
        let by = |roots| Manner::Tls(tls::client(&Arc::new(roots)).unwrap());
        let outcome = try_door(address, &by(roots), &host, &key);
        assert!(outcome.is_ok(), "{outcome:?}");
        let outcome = try_door(address, &by(RootCertStore::empty()), &host, &key);
        let unknown = CertificateError::UnknownIssuer;
        assert!(
            matches!(&outcome, Err(DoorFailure::Tls(rustls::Error::InvalidCertificate(why))) if *why == unknown),
            "{outcome:?}"
        );
        assert_eq!(serving.join().unwrap(), 4);
    }
}
