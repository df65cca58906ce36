//! What is measured: a relay, the proxy, its two halves, or a peer.

use std::io;
use std::net::SocketAddr;

use fake_telegram::client::{Kind, Options};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, certify};
use fake_telegram::secret::{classic, padded};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::via::Via;
use fake_telegram::web_front::WebFront;

use crate::helper::{Helper, Role};
use crate::peers::{Peer, Running};
use crate::process;

/// The names of the first subjects.
pub const RELAY: &str = "plain relay";
pub const SPLICE: &str = "splice relay";

pub struct Subject {
    pub name: String,
    /// The subject that it is compared with, besides the relays: what it is to this
    /// one, and its name.
    pub rival: Option<(&'static str, String)>,
    pub client: Options,
    /// In the order in which clients' bytes pass them, each with its name.
    parts: Vec<(&'static str, Process)>,
}

enum Process {
    Proxy(Proxy),
    Relay(Helper),
    Peer(Running),
}

impl Process {
    fn pid(&self) -> u32 {
        match self {
            Self::Proxy(proxy) => proxy.pid(),
            Self::Relay(helper) => helper.pid(),
            Self::Peer(peer) => peer.pid(),
        }
    }
}

/// How front and back are joined; `None`: they are one process.
#[derive(Clone, Copy)]
pub enum Link {
    None,
    Plain,
    Tls,
}

/// How a direct connection gets to its DC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Straight,
    /// Through a SOCKS5 server.
    Via,
    /// By a web front.
    Ws,
    /// By another proxy, whose own cost is not counted.
    Upstream,
}

/// Telegram, and what may be between it and the proxy.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    pub telegram: &'a FakeTelegram,
    pub front: &'a WebFront,
    pub via: &'a Via,
    /// The other proxy, and the link to it.
    pub next: &'a Proxy,
}

/// A proxy that can be measured.
#[derive(Clone, Copy)]
pub struct Case {
    pub route: Route,
    pub way: Way,
    pub kind: Kind,
    pub link: Link,
}

impl Case {
    /// As in "middle dd".
    fn both(self) -> String {
        let route = match (self.route, self.way) {
            (Route::Middle, _) => "middle",
            (Route::Direct, Way::Straight) => "direct",
            (Route::Direct, Way::Via) => "via",
            (Route::Direct, Way::Ws) => "ws",
            (Route::Direct, Way::Upstream) => "upstream",
        };
        let kind = match self.kind {
            Kind::FakeTls => "ee",
            _ => "dd",
        };
        format!("{route} {kind}")
    }

    pub fn name(self) -> String {
        match self.link {
            Link::None => self.both(),
            Link::Plain => format!("{} split", self.both()),
            Link::Tls => format!("{} split TLS", self.both()),
        }
    }

    pub async fn start(self, binary: &str, outside: Outside<'_>) -> io::Result<Subject> {
        let telegram = outside.telegram;
        let parts = match self.link {
            Link::None => {
                let proxy = fit(ProxyOptions::new(binary, telegram, self.route));
                let proxy = match self.way {
                    Way::Straight => proxy,
                    Way::Via => proxy.set("--via", outside.via.url("socks5")),
                    // Spare ones would be counted with those that clients have.
                    Way::Ws => proxy
                        .set("--route", "ws")
                        .set("--ws-spare", 0)
                        .web_front(outside.front),
                    Way::Upstream => proxy
                        .set("--route", "upstream")
                        .set("--upstream", next_link(outside.next)),
                };
                vec![("", Process::Proxy(proxy.start().await))]
            }
            Link::Plain => self.halves(binary, telegram, &Secured::default()).await,
            Link::Tls => {
                // Both ends have read them when they are linked.
                let directory = certify(binary, ["home"]);
                let secured = Secured::by_certificates(&directory, "home");
                self.halves(binary, telegram, &secured).await
            }
        };
        let Some((_, Process::Proxy(first))) = parts.first() else {
            return Err(io::Error::other("a proxy has a first part"));
        };
        Ok(Subject {
            name: self.name(),
            rival: self.rival(parts.len()),
            client: first.client(self.kind),
            parts,
        })
    }

    /// One process for two, or straight on for another way.
    fn rival(self, parts: usize) -> Option<(&'static str, String)> {
        let straight = Self {
            way: Way::Straight,
            ..self
        };
        match self.way {
            Way::Straight => (parts > 1).then(|| ("both", self.both())),
            _ => Some(("direct", straight.both())),
        }
    }

    async fn halves(
        self,
        binary: &str,
        telegram: &FakeTelegram,
        secured: &Secured,
    ) -> Vec<(&'static str, Process)> {
        let back = ProxyOptions::back(binary, telegram, secured);
        let back = back.set("--log-level", "warn").start().await;
        let links = [back.address()];
        let front = ProxyOptions::front(binary, telegram, self.route, secured, &links);
        let front = fit(front).start().await;
        front.linked(1).await;
        vec![
            ("front", Process::Proxy(front)),
            ("back", Process::Proxy(back)),
        ]
    }
}

/// The next proxy's, as it is another person's: with our own all would be passed on as it is.
const NEXT_KEY: [u8; 16] = [0xa5; 16];

/// What is between on the way upstream.
pub async fn next_proxy(binary: &str, telegram: &FakeTelegram) -> Proxy {
    let options = ProxyOptions::new(binary, telegram, Route::Direct);
    let options = options.set("--secret", classic(&NEXT_KEY));
    fit(options).start().await
}

/// By its padded secret.
fn next_link(next: &Proxy) -> String {
    format!("{}:{}", next.address(), padded(&NEXT_KEY))
}

/// Room for the clients of the idle loads, who hibernate soon. A replay memory of
/// normal size takes a page more with each handshake until all are touched: its
/// own bounded memory, not the clients'.
pub fn fit(options: ProxyOptions) -> ProxyOptions {
    options
        .set("--replay-cache", 8192)
        .set("--log-level", "warn")
        .set("--max-clients", 20_000)
        .set("--hibernate", 1)
}

impl Subject {
    /// One process, compared with the subject of another name.
    pub fn of(name: &str, direct: &str, proxy: Proxy, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            rival: Some(("direct", direct.to_owned())),
            client: proxy.client(kind),
            parts: vec![("", Process::Proxy(proxy))],
        }
    }

    /// The plain relay in front of the fake DC 2.
    pub fn relay(telegram: &FakeTelegram) -> io::Result<Self> {
        Self::relay_of(RELAY, telegram, Role::Relay)
    }

    /// The splice relay in front of it.
    pub fn splice_relay(telegram: &FakeTelegram) -> io::Result<Self> {
        Self::relay_of(SPLICE, telegram, Role::Splice)
    }

    fn relay_of(
        name: &str,
        telegram: &FakeTelegram,
        role: fn(SocketAddr) -> Role,
    ) -> io::Result<Self> {
        let target = telegram.direct_addresses(2)[0];
        let mut helper = Helper::start(role(target))?;
        let address: SocketAddr = helper.hear()?;
        Ok(Self {
            name: name.to_owned(),
            rival: None,
            client: Options {
                key: None,
                ..Kind::Padded.options(address)
            },
            parts: vec![("", Process::Relay(helper))],
        })
    }

    /// A peer in the place of one process of ours.
    pub async fn peer(peer: &Peer, case: Case, outside: Outside<'_>) -> io::Result<Self> {
        let (name, rival) = (format!("{} {}", peer.name, case.name()), case.name());
        if let Some(binary) = peer.as_ours() {
            let subject = case.start(&binary.display().to_string(), outside).await?;
            return Ok(Self {
                name,
                rival: Some(("ours", rival)),
                ..subject
            });
        }
        let running = peer.start(case.route, case.kind, outside.telegram).await?;
        Ok(Self {
            name,
            rival: Some(("ours", rival)),
            client: case.kind.options(running.address()),
            parts: vec![("", Process::Peer(running))],
        })
    }

    /// Nobody of ours answers for it.
    pub fn is_peer(&self) -> bool {
        matches!(self.rival, Some(("ours", _)))
    }

    /// User and system time of all its processes so far, in seconds.
    pub fn processor_seconds(&self) -> io::Result<f64> {
        let parts = self.parts.iter();
        parts
            .map(|(_, part)| process::processor_seconds(part.pid()))
            .sum()
    }

    /// The names of its parts, none for the only one.
    pub fn part_names(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().map(|(name, _)| *name)
    }

    /// Resident memory of each of its parts now, in bytes.
    pub fn resident(&self) -> io::Result<Vec<u64>> {
        let parts = self.parts.iter();
        parts
            .map(|(_, part)| process::resident(part.pid()))
            .collect()
    }
}
