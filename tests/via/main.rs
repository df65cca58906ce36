//! `--via`: Telegram through a SOCKS5 or HTTP CONNECT server.

mod failures;
mod programs;
mod reloads;
mod sessions;
mod words;

use std::net::SocketAddr;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Flag};
use fake_telegram::via::{Options, Protocol, Target, Via};
use fake_telegram::wait::eventually;

/// The schemes of URLs, and what answers there.
pub const SCHEMES: [(&str, Protocol); 3] = [
    ("socks5", Protocol::Socks5),
    ("socks5h", Protocol::Socks5),
    ("http", Protocol::Http),
];

pub const USER: &str = "an:na";
pub const HTTP_USER: &str = "anna";
/// With what a URL has to escape, and no word of any message.
pub const PASSWORD: &str = "xq/7@Zk:%25\u{e9}";

/// Telegram behind a server that it is reached through.
pub struct Set {
    pub telegram: FakeTelegram,
    pub via: Via,
    pub proxy: Proxy,
}

impl Set {
    pub async fn start(
        server: Options,
        scheme: &str,
        change: impl FnOnce(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let via = Via::start(server).unwrap();
        let options = direct(&telegram).set("--via", via.url(scheme));
        let proxy = change(options).start().await;
        Self {
            telegram,
            via,
            proxy,
        }
    }

    /// Nobody broke a protocol, and no client got to Telegram another way.
    pub fn assert_clean(&self) {
        self.telegram.assert_clean();
        self.via.assert_clean();
        let seen = self.via.seen();
        let dcs = seen.targets.iter().filter(|one| self.is_dc(one)).count();
        assert_eq!(self.telegram.counters().direct_accepted(), dcs as u64);
    }

    /// Waits for the lists, so that nothing but clients goes through it.
    pub async fn lists(&self) {
        let fetches = std::env::var_os("SMOL_MTPROXY_LISTS").is_none();
        let asked = || self.telegram.counters().http_requests();
        let are_there = || asked() >= 3 && self.via.seen().live == 0;
        eventually("lists", || !fetches || are_there()).await;
    }

    pub fn is_dc(&self, target: &Target) -> bool {
        let Target::Address(address) = target else {
            return false;
        };
        let mut dcs = self.telegram.options().direct_dcs.iter();
        dcs.any(|dc| self.telegram.direct_addresses(*dc).contains(address))
    }

    /// How often `--via` was asked for a DC.
    pub fn asked(&self) -> usize {
        self.asked_of(&self.via)
    }

    /// How often that one was.
    pub fn asked_of(&self, via: &Via) -> usize {
        let targets = via.seen().targets;
        targets.iter().filter(|one| self.is_dc(one)).count()
    }
}

pub fn direct(telegram: &FakeTelegram) -> ProxyOptions {
    ProxyOptions::new(built_binary!(), telegram, Route::Direct)
}

/// A server for everybody, or one with a user and a password.
pub fn server(protocol: Protocol, has_credentials: bool) -> Options {
    let options = Options::new(protocol);
    match (has_credentials, protocol) {
        (false, _) => options,
        (true, Protocol::Socks5) => options.credentials(USER, PASSWORD),
        // There a colon ends the user.
        (true, Protocol::Http) => options.credentials(HTTP_USER, PASSWORD),
    }
}

/// DC 2 at these addresses, the others where they are.
pub fn with_dc_2(
    options: ProxyOptions,
    telegram: &FakeTelegram,
    at: &[SocketAddr],
) -> ProxyOptions {
    let mut options = options.without("--dc");
    for address in at {
        options = options.add("--dc", format!("2={address}"));
    }
    for dc in telegram.options().direct_dcs.iter().filter(|dc| **dc != 2) {
        for address in telegram.direct_addresses(*dc) {
            options = options.add("--dc", format!("{dc}={address}"));
        }
    }
    options
}

/// What becomes of a client that comes now.
pub async fn fate(proxy: &Proxy, kind: Kind) -> Fate {
    match proxy.client(kind).connect().await {
        Ok(mut client) => client.fate_of(&echo(1, 64)).await,
        Err(error) if fake_telegram::client::is_close(&error) => Fate::Closed,
        Err(error) => panic!("{error}"),
    }
}

pub async fn served(proxy: &Proxy) -> Client {
    proxy.served_client(2).await
}

/// Lines that an operator sees who does not debug.
pub fn told(proxy: &Proxy) -> Vec<String> {
    let level = |line: &String| line.split(' ').nth(1).map(str::to_owned);
    let is_told = |line: &String| matches!(level(line).as_deref(), Some("warn" | "error"));
    proxy.log().into_iter().filter(is_told).collect()
}

pub fn set_via(flags: &mut Vec<Flag>, url: Option<String>) {
    flags.retain(|flag| flag.0 != "--via");
    flags.extend(url.map(|url| ("--via", url)));
}
