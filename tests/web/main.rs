//! Telegram through its web front, a Cloudflare zone and a Worker: `--route` with
//! `ws`, `zone` and `worker`, against fakes that note every letter amiss.
#![cfg(feature = "tls")]

mod attacks;
mod checks;
mod failures;
mod frames;
mod order;
mod recovery;
mod reloads;
mod sessions;
mod spare;
mod tunnels;

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, within};
use fake_telegram::web_front::{self, WebFront};

/// In so long a client has the next route when the first is dead.
pub const NEXT: Duration = Duration::from_secs(7);
/// In so long when that is known already.
pub const AT_ONCE: Duration = Duration::from_secs(3);

/// Telegram with a web front, and a proxy that knows both.
pub struct Set {
    pub telegram: FakeTelegram,
    pub front: WebFront,
    pub proxy: Proxy,
}

impl Set {
    pub async fn start(route: &str) -> Self {
        Self::start_with(route, |_| {}, |options| options).await
    }

    /// `prepare` is called before the proxy starts.
    pub async fn start_with(
        route: &str,
        prepare: impl FnOnce(&Set0),
        change: impl FnOnce(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        let set = Set0::new(web_front::Kind::Telegram);
        prepare(&set);
        let options = set.options(route).web_front(&set.front);
        set.start(change(options)).await
    }

    /// Nobody broke a protocol.
    pub fn assert_clean(&self) {
        self.telegram.assert_clean();
    }

    pub fn tried(&self, route: &str, result: &str) -> u64 {
        let labels = format!("route=\"{route}\",dc=\"2\",result=\"{result}\"");
        self.proxy.counted("route_connects_total", &labels)
    }

    /// All connections to the front are over.
    pub async fn left(&self) {
        eventually("the ends of all sessions", || {
            self.telegram.counters().direct_live() == 0
        })
        .await;
    }
}

/// The same without its proxy.
pub struct Set0 {
    pub telegram: FakeTelegram,
    pub front: WebFront,
}

impl Set0 {
    pub fn new(kind: web_front::Kind) -> Self {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let front = WebFront::start(&telegram, web_front::Options::new(kind)).unwrap();
        Self { telegram, front }
    }

    pub fn options(&self, route: &str) -> ProxyOptions {
        let options = ProxyOptions::new(built_binary!(), &self.telegram, Route::Direct);
        options.set("--route", route)
    }

    pub async fn start(self, options: ProxyOptions) -> Set {
        let proxy = options.start().await;
        Set {
            telegram: self.telegram,
            front: self.front,
            proxy,
        }
    }
}

/// A client that has been served, and how long that took.
pub async fn served(proxy: &Proxy, kind: Kind, dc: i16) -> (Client, Duration) {
    let began = Instant::now();
    let mut client = proxy.client(kind).dc(dc).connect().await.unwrap();
    let outcome = within("an echo", client.echo(&echo(7, 640))).await;
    outcome.unwrap_or_else(|error| panic!("{kind:?}, DC {dc}: {error}"));
    (client, began.elapsed())
}

pub async fn served_within(proxy: &Proxy, limit: Duration) -> Client {
    let (client, took) = served(proxy, Kind::Padded, 2).await;
    assert!(took < limit, "served after {took:?}");
    client
}

/// A client of DC 2 that is closed without an answer.
pub async fn refused(proxy: &Proxy) {
    let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
    assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
}
