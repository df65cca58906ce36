//! A proxy in two halves, joined by a link.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Proxy, ProxyOptions, Route};
use crate::telegram::{FakeTelegram, Options};
use crate::wait::eventually;

/// What secures the link.
#[derive(Clone)]
pub enum Secured {
    /// The text of a key file.
    Key(String),
    /// A directory that `certs` made, and the name of the front.
    Certificates(PathBuf, String),
}

impl Default for Secured {
    fn default() -> Self {
        Self::Key("0123456789abcdef".repeat(2))
    }
}

impl Secured {
    fn apply(&self, options: ProxyOptions, node: &str) -> ProxyOptions {
        match self {
            Self::Key(key) => {
                let path = options.directory().join("link.psk");
                std::fs::write(&path, key).expect("the temporary directory can be written");
                options.set("--link-psk", path.display())
            }
            Self::Certificates(directory, _) => {
                let file = |name: &str| directory.join(name).display().to_string();
                options
                    .set("--link-ca", file("ca.pem"))
                    .set("--link-cert", file(&format!("{node}.pem")))
                    .set("--link-key", file(&format!("{node}.key")))
            }
        }
    }

    fn front_name(&self) -> &str {
        match self {
            Self::Key(_) => "front",
            Self::Certificates(_, name) => name,
        }
    }
}

impl ProxyOptions {
    /// A back with all of `telegram`. Its "listener" is the link's.
    pub fn back(binary: &str, telegram: &FakeTelegram, secured: &Secured) -> Self {
        let mut options = Self::bare(binary);
        let listener = options.listener;
        options.flags.extend([
            ("--role", "back".to_owned()),
            ("--link-listen", listener.to_string()),
        ]);
        options.add_telegram(telegram);
        secured.apply(options, "back")
    }

    /// A front of `backs`.
    pub fn front(
        binary: &str,
        telegram: &FakeTelegram,
        route: Route,
        secured: &Secured,
        backs: &[SocketAddr],
    ) -> Self {
        let mut options = Self::bare(binary);
        options.add_clients(telegram, route);
        options.flags.push(("--role", "front".to_owned()));
        let links = backs.iter().map(|back| ("--link", back.to_string()));
        options.flags.extend(links);
        let name = secured.front_name().to_owned();
        secured.apply(options, &name)
    }
}

impl Proxy {
    /// Waits until it has so many links.
    pub async fn linked(&self, links: u64) {
        eventually("the links", || self.counted("links", "") == links).await;
    }

    /// Waits until nothing of any client is left.
    pub async fn cleared(&self) {
        for gauge in ["link_streams", "dc_sessions", "buffer_bytes_used"] {
            eventually(&format!("{gauge} to be zero"), || {
                self.counted(gauge, "") == 0
            })
            .await;
        }
    }
}

/// Telegram, a back and a front.
pub struct Split {
    pub telegram: FakeTelegram,
    pub back: Proxy,
    pub front: Proxy,
}

impl Split {
    pub async fn start(
        binary: &str,
        route: Route,
        secured: &Secured,
        change: impl Fn(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        Self::start_with(binary, route, Options::default(), secured, change).await
    }

    pub async fn start_with(
        binary: &str,
        route: Route,
        telegram: Options,
        secured: &Secured,
        change: impl Fn(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        let telegram = FakeTelegram::start(telegram).expect("loopback can be listened on");
        let back = change(ProxyOptions::back(binary, &telegram, secured))
            .start()
            .await;
        let front = ProxyOptions::front(binary, &telegram, route, secured, &[back.address()]);
        let front = change(front).start().await;
        front.linked(1).await;
        Self {
            telegram,
            back,
            front,
        }
    }
}
