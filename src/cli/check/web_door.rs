//! A page and a session at a door of the WEB proxy on this machine, as an app has them.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::config::{Network, WebHost};
use crate::wire::http::Answer;
use crate::wire::web::{Capability, HELLO, WELCOME, WebKey, code};

/// For all of it.
const LIMIT: Duration = Duration::from_secs(5);

/// More than a page is.
const MAX_ANSWER: u64 = 256 * 1024;

/// Why an app would get nowhere.
#[derive(Debug)]
pub(super) enum DoorFailure {
    /// Nobody listens.
    Closed,
    Io(io::Error),
    /// What is no HTTP, or no answer of ours.
    Strange(&'static str),
    Status(&'static str, u16),
}

/// Where a listener at `address` is reached from here.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// One loop through the door at `address`: page, session, end of the session. Blocks.
pub(super) fn try_door(
    address: SocketAddr,
    relays: &[Network],
    host: &WebHost,
    key: &WebKey,
) -> Result<(), DoorFailure> {
    let door = Door {
        address: from_here(address),
        // A relay has to say for whom it connects, and a connection from here may be one.
        header: match relays
            .iter()
            .any(|relay| relay.contains(from_here(address).ip()))
        {
            true => "PROXY UNKNOWN\r\n",
            false => "",
        },
        host,
        deadline: Instant::now() + LIMIT,
    };
    let capability = Capability::of(key, &host.name, host.path.as_ref());
    let page = door.ask("GET", &format!("?bridge={capability}"), "", &[], "the page")?;
    let bootstrap = page
        .token_between_quotes()
        .ok_or(DoorFailure::Strange("the page"))?;
    let bytes = "Content-Type: application/octet-stream\r\n";
    let fields = format!("Authorization: Bearer {bootstrap}\r\n{bytes}");
    let session = door.ask("POST", "api/v1/session", &fields, &HELLO, "a session")?;
    let token = session.field("x-session-token");
    let token = token.filter(|_| session.answer.body == WELCOME);
    let token = token.ok_or(DoorFailure::Strange("a session"))?;
    let fields = format!("Authorization: Bearer {token}\r\n");
    door.ask(
        "DELETE",
        "api/v1/session",
        &fields,
        &[],
        "the end of a session",
    )?;
    Ok(())
}

struct Door<'a> {
    address: SocketAddr,
    header: &'static str,
    host: &'a WebHost,
    deadline: Instant,
}

struct Received {
    answer: Answer,
    head: String,
}

impl Door<'_> {
    /// `what` is asked for, with `fields` in its head, in a connection of its own.
    fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &str,
        body: &[u8],
        what: &'static str,
    ) -> Result<Received, DoorFailure> {
        let base = self.host.path.as_ref();
        let base = base.map_or_else(String::new, |base| format!("{base}/"));
        let (header, host) = (self.header, &self.host.name);
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let mut request = format!(
            "{header}{method} /{base}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}Connection: \
             close\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        let received = self
            .exchange(&request)
            .map_err(|error| match error.kind() {
                ErrorKind::ConnectionRefused => DoorFailure::Closed,
                _ => DoorFailure::Io(error),
            })?;
        let answer = Answer::parse(&received, true).ok().flatten();
        let answer = answer.ok_or(DoorFailure::Strange(what))?;
        if !(200..300).contains(&answer.status) {
            return Err(DoorFailure::Status(what, answer.status));
        }
        let text = String::from_utf8_lossy(&received);
        let head = text.split_once("\r\n\r\n").map_or(&*text, |(head, _)| head);
        Ok(Received {
            answer,
            head: head.to_owned(),
        })
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let left = || self.deadline.saturating_duration_since(Instant::now());
        let mut stream = TcpStream::connect_timeout(&self.address, left().max(SHORTEST))?;
        stream.set_write_timeout(Some(left().max(SHORTEST)))?;
        stream.write_all(request)?;
        stream.set_read_timeout(Some(left().max(SHORTEST)))?;
        let mut received = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut received)?;
        Ok(received)
    }
}

/// Less than that is no time for a socket.
const SHORTEST: Duration = Duration::from_millis(1);

impl Received {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// As native clients look for the page's token.
    fn token_between_quotes(&self) -> Option<String> {
        let page = String::from_utf8_lossy(&self.answer.body);
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut words = page.split('"');
        let token = words.find(|word| word.len() == code::LEN && word.chars().all(is_letter))?;
        Some(token.to_owned())
    }
}

impl fmt::Display for DoorFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("nobody listens there"),
            Self::Io(error) => error.fmt(f),
            Self::Strange(what) => write!(f, "{what} is not as it should be"),
            Self::Status(what, status) => write!(f, "{what} is answered by {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::Config;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ";

    /// What comes of `answers`, one a connection, and what was asked.
    fn tried(answers: [&'static str; 3]) -> (Result<(), DoorFailure>, Vec<String>) {
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
        let config = Config::of(&[
            ("--web", "proxy.example.com"),
            ("--web-listen", "127.0.0.1:1"),
            ("--web-site", "/x"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]);
        let host = &config.web.hosts[0];
        let key = WebKey {
            secret: host.secrets[0].secret.key,
            is_padded: false,
        };
        let outcome = try_door(address, &[], host, &key);
        (outcome, serving.join().unwrap())
    }

    #[test]
    fn a_page_and_a_session() {
        let session = "HTTP/1.1 200 OK\r\nX-Session-Token: abc\r\nContent-Length: 8\r\n\r\n\x11\0\0\0\0\0\0\0";
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\nt=\"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ\";x";
        let (outcome, asked) = tried([page, session, "HTTP/1.1 204 No Content\r\n\r\n"]);
        assert!(outcome.is_ok(), "{outcome:?}");
        let first = "GET /?bridge=MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk HTTP/1.1\r\n";
        assert!(asked[0].starts_with(first), "{}", asked[0]);
        assert!(asked[1].contains(&format!("Authorization: Bearer {TOKEN}\r\n")));
        assert!(asked[2].starts_with("DELETE /api/v1/session HTTP/1.1\r\n"));
        assert!(asked[2].contains("Authorization: Bearer abc\r\n"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let (outcome, _) = tried([not_found, "", ""]);
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "the page is answered by 404"
        );
        let site = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let (outcome, _) = tried([site, "", ""]);
        assert!(
            outcome
                .unwrap_err()
                .to_string()
                .contains("not as it should be")
        );
    }
}
