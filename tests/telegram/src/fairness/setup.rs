//! Proxies in the forms in which users share them.

use std::net::SocketAddr;

use super::relay::{Line, Relay};
use super::ways::{First, Ways};
use crate::client::{Kind, Options};
use crate::crypto::hex;
use crate::harness::{Proxy, ProxyOptions, Route, Secured, TemporaryDirectory, certify};
use crate::telegram::{self, FakeTelegram};

/// The key of a second secret, `guest`, that every proxy here has.
pub const GUEST: [u8; 16] = [0x6e; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One process.
    Both,
    /// Front and back, joined by a plain link with a key.
    Keyed,
    /// Front and back, joined by a link through TLS.
    Tls,
}

impl Layout {
    pub const ALL: [Layout; 3] = [Self::Both, Self::Keyed, Self::Tls];

    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Keyed => "split, key",
            Self::Tls => "split, TLS",
        }
    }

    pub fn is_split(self) -> bool {
        self != Self::Both
    }
}

type Change = Box<dyn Fn(ProxyOptions) -> ProxyOptions>;

/// What an [`Arena`] is to be.
pub struct Setup {
    binary: String,
    layout: Layout,
    doors: Vec<Route>,
    at_doors: Change,
    at_back: Change,
    line: Option<Line>,
    first: Option<First>,
}

impl Setup {
    /// One door to Telegram's middle proxies.
    pub fn new(binary: &str, layout: Layout) -> Self {
        Self {
            binary: binary.to_owned(),
            layout,
            doors: vec![Route::Middle],
            at_doors: Box::new(|options| options),
            at_back: Box::new(|options| options),
            line: None,
            first: None,
        }
    }

    /// Where clients come in, a front each, all of one back. One process has but
    /// one door, the first.
    pub fn doors(mut self, doors: &[Route]) -> Self {
        self.doors = doors.to_vec();
        if !self.layout.is_split() {
            self.doors.truncate(1);
        }
        self
    }

    /// Flags of those who take clients.
    pub fn at_doors(mut self, change: impl Fn(ProxyOptions) -> ProxyOptions + 'static) -> Self {
        self.at_doors = Box::new(change);
        self
    }

    /// Flags of the one who talks to Telegram.
    pub fn at_back(mut self, change: impl Fn(ProxyOptions) -> ProxyOptions + 'static) -> Self {
        self.at_back = Box::new(change);
        self
    }

    /// What is between the first front and its back.
    pub fn line(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }

    /// The one who talks to Telegram has this route and another one.
    pub fn first(mut self, first: First) -> Self {
        self.first = Some(first);
        self
    }

    pub async fn start(self) -> Arena {
        let telegram = FakeTelegram::start(telegram::Options {
            threads: 2,
            ..telegram::Options::default()
        });
        let telegram = telegram.expect("loopback can be listened on");
        let mut arena = Arena {
            telegram,
            doors: Vec::new(),
            back: None,
            relay: None,
            ways: None,
            _certificates: None,
        };
        if let Some(first) = self.first {
            arena.ways = Some(Ways::start(&self.binary, &arena.telegram, first).await);
        }
        match self.layout {
            Layout::Both => {
                let options = ProxyOptions::new(&self.binary, &arena.telegram, self.doors[0]);
                let options = arena.routed((self.at_back)(self.door(options)));
                arena.doors.push(options.start().await);
            }
            Layout::Keyed | Layout::Tls => self.halves(&mut arena).await,
        }
        arena
    }

    fn door(&self, options: ProxyOptions) -> ProxyOptions {
        let guest = format!("guest={}", hex(&GUEST));
        let options = options.set("--log-level", "info").add("--secret", guest);
        (self.at_doors)(options)
    }

    async fn halves(&self, arena: &mut Arena) {
        let fronts = 0..self.doors.len();
        let secured: Vec<Secured> = match self.layout {
            Layout::Tls => {
                let names = fronts.map(|number| format!("front{number}"));
                let names: Vec<String> = names.collect();
                let directory = certify(&self.binary, names.iter().map(String::as_str));
                let secured = |name: &String| Secured::by_certificates(&directory, name);
                let secured = names.iter().map(secured).collect();
                arena._certificates = Some(directory);
                secured
            }
            _ => fronts.map(|_| Secured::default()).collect(),
        };
        let back = ProxyOptions::back(&self.binary, &arena.telegram, &secured[0]);
        let back = arena.routed((self.at_back)(back.set("--log-level", "info")));
        let back = back.start().await;
        for (number, (route, secured)) in self.doors.iter().zip(&secured).enumerate() {
            let mut address = back.address();
            // With a key alone, a back knows fronts by their addresses: one of two
            // has another.
            let line = match self.doors.len() {
                1 => self.line,
                _ => Some(self.line.unwrap_or_default()),
            };
            if let Some(line) = line.filter(|_| number == 0) {
                let relay = Relay::start(address, line);
                address = relay.address();
                arena.relay = Some(relay);
            }
            let telegram = &arena.telegram;
            let front = ProxyOptions::front(&self.binary, telegram, *route, secured, &[address]);
            let front = self.door(front).start().await;
            front.linked(1).await;
            arena.doors.push(front);
        }
        arena.back = Some(back);
    }
}

/// What users share.
pub struct Arena {
    pub telegram: FakeTelegram,
    /// Where clients come in.
    pub doors: Vec<Proxy>,
    back: Option<Proxy>,
    relay: Option<Relay>,
    ways: Option<Ways>,
    _certificates: Option<TemporaryDirectory>,
}

impl Arena {
    fn routed(&self, options: ProxyOptions) -> ProxyOptions {
        match &self.ways {
            Some(ways) => ways.flags(options),
            None => options,
        }
    }

    /// A padded client of a door, for DC 2.
    pub fn client(&self, door: usize) -> Options {
        self.doors[door].client(Kind::Padded)
    }

    /// The process that talks to Telegram.
    pub fn back(&self) -> &Proxy {
        self.back.as_ref().unwrap_or(&self.doors[0])
    }

    /// Where the back takes links.
    pub fn link_address(&self) -> SocketAddr {
        self.back().address()
    }

    /// Cuts the first front's link; it may dial again.
    pub fn cut_link(&self) {
        self.relay.as_ref().expect("there is a line to cut").cut();
    }
}
