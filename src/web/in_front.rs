//! Whose request it is that a web server in front of us hands on (`--web-listen`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::client::Peer;
use crate::config::WebListen;
use crate::log::{Address, Trouble};
use crate::net::Live;
use crate::wire::http::RequestHead;

/// Between two times that the same is said of web servers.
const LOG_PERIOD: Duration = Duration::from_secs(3600);

/// Who has made a connection at such a door.
pub(super) struct InFront {
    pub(crate) peer: Peer,
    pub(crate) door: Live<WebListen>,
    /// A PROXY header has said who that is.
    pub(crate) is_told: bool,
}

/// What is wrong between us and web servers, and when it was said.
pub(super) struct InFrontTroubles {
    untrusted: Trouble,
    silent: Trouble,
}

/// Why all clients of a web server count as one.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// It says whose the request is, and may not.
    Untrusted,
    /// It may, and does not.
    Silent,
}

/// Whose a request is.
pub(super) struct Sender {
    pub(crate) peer: Peer,
    /// Somebody has said so who may: it is not only who has made the connection, that
    /// brings the requests of many.
    pub(crate) is_told: bool,
    problem: Option<Problem>,
}

impl Sender {
    /// Of who has made the connection itself.
    #[cfg(feature = "tls")]
    pub(crate) fn itself(peer: Peer) -> Self {
        Self {
            peer,
            is_told: false,
            problem: None,
        }
    }
}

impl InFront {
    /// Who sends the request `head`.
    pub(crate) fn sender(&self, head: &RequestHead) -> Sender {
        let Peer { client, local } = self.peer;
        let (address, problem) = self.door.with(|door| judge(head, door, client.ip()));
        let client = SocketAddr::new(address, client.port());
        Sender {
            is_told: self.is_told || address != self.peer.client.ip(),
            problem: problem.filter(|_| !self.is_told),
            peer: Peer { client, local },
        }
    }

    /// Says what is wrong with how `sender` was told, if anything is.
    pub(crate) fn tell(&self, sender: &Sender, troubles: &InFrontTroubles, now: Instant) {
        if let Some(problem) = &sender.problem {
            let server = self.peer.client.ip();
            self.door
                .with(|door| troubles.say(problem, server, door, now));
        }
    }
}

/// Whose the request is, that `server` hands on.
fn judge(head: &RequestHead, door: &WebListen, server: IpAddr) -> (IpAddr, Option<Problem>) {
    let told = last_address(head, &door.header);
    let is_trusted = door.trust.iter().any(|net| net.contains(server));
    match (told, is_trusted) {
        (Some(told), true) => (told, None),
        (None, true) => (server, Some(Problem::Silent)),
        (Some(_), false) => (server, Some(Problem::Untrusted)),
        (None, false) => (server, None),
    }
}

/// What the web server in front of us has added: the last address of the last field.
fn last_address(head: &RequestHead, name: &str) -> Option<IpAddr> {
    let value = head.fields().named(name).last()?;
    let last = value.rsplit(|byte| *byte == b',').next()?;
    let last = str::from_utf8(last).ok()?.trim();
    let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = last.trim_matches(['[', ']']).parse().ok();
    let address: Option<IpAddr> = bare.or_else(with_port);
    address.map(|address| address.to_canonical())
}

impl Default for InFrontTroubles {
    fn default() -> Self {
        Self {
            untrusted: Trouble::new(LOG_PERIOD),
            silent: Trouble::new(LOG_PERIOD),
        }
    }
}

impl InFrontTroubles {
    fn say(&self, problem: &Problem, server: IpAddr, door: &WebListen, now: Instant) {
        let trouble = match problem {
            Problem::Untrusted => &self.untrusted,
            Problem::Silent => &self.silent,
        };
        if let Some(skipped) = trouble.fails(now) {
            let told = Told {
                problem,
                server,
                door,
            };
            warn!("{told}{skipped}");
        }
    }
}

/// A problem in words, with the way out.
struct Told<'a> {
    problem: &'a Problem,
    server: IpAddr,
    door: &'a WebListen,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, header) = (Address::from(self.server), &self.door.header);
        let whole = server.whole().map(|server| server.to_string());
        let trust = whole.as_deref().unwrap_or("ITS-ADDRESS");
        match self.problem {
            Problem::Untrusted => write!(
                f,
                "{server} hands requests on to --web-listen and is not trusted to say in {header} \
                 whose they are, so its clients count as one address: add trust={trust}, if that \
                 is your web server"
            ),
            Problem::Silent => write!(
                f,
                "{server} does not say in {header} whose requests it hands on to --web-listen, so \
                 its clients count as one address: have it send that field (templates: \
                 config/web), or name its field with header="
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_it_in_vain_and_who_does_not_say_it_is_named() {
        let door = WebListen {
            addr: "127.0.0.1:8080".parse().unwrap(),
            optional: false,
            trust: vec!["192.0.2.0/24".parse().unwrap()],
            header: "X-Forwarded-For".to_owned(),
        };
        let fields = "X-Forwarded-For: 198.51.100.7\r\n";
        for (server, fields, address, problem) in [
            ("192.0.2.1", fields, "198.51.100.7", None),
            ("192.0.2.1", "", "192.0.2.1", Some(Problem::Silent)),
            ("192.0.3.1", fields, "192.0.3.1", Some(Problem::Untrusted)),
            ("192.0.3.1", "", "192.0.3.1", None),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
            let head = RequestHead::parse(text.as_bytes()).unwrap();
            let server = server.parse().unwrap();
            let found = judge(&head, &door, server);
            assert_eq!(found, (address.parse().unwrap(), problem));
        }
        let told = |problem| {
            let server = "192.0.3.1".parse().unwrap();
            let (problem, door) = (&problem, &door);
            Told {
                problem,
                server,
                door,
            }
            .to_string()
        };
        assert!(told(Problem::Untrusted).contains("add trust=192.0.3.1"));
        assert!(told(Problem::Silent).contains("header="));
    }
}
