//! By which routes the one who talks to Telegram gets there.

use crate::harness::{Proxy, ProxyOptions, Route};
use crate::secret::{KEY, padded};
use crate::telegram::FakeTelegram;
use crate::web_front::{Kind, Options, WebFront};

/// The first route of a list, behind which a direct one comes, or `ws` behind that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Direct,
    Ws,
    Zone,
    Worker,
    Upstream,
}

impl First {
    pub fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ws => "ws",
            Self::Zone => "zone",
            Self::Worker => "worker",
            Self::Upstream => "upstream",
        }
    }

    pub fn next_word(self) -> &'static str {
        match self {
            Self::Direct => "ws",
            _ => "direct",
        }
    }
}

/// Who stands before Telegram.
pub(super) struct Ways {
    first: First,
    front: Option<WebFront>,
    next: Option<Proxy>,
}

impl Ways {
    pub(super) async fn start(binary: &str, telegram: &FakeTelegram, first: First) -> Self {
        let kind = match first {
            First::Direct | First::Ws => Some(Kind::Telegram),
            First::Zone => Some(Kind::Zone("kws{dc}.zone.example".to_owned())),
            First::Worker => Some(Kind::Worker {
                host: "tunnel.example".to_owned(),
                key: None,
            }),
            First::Upstream => None,
        };
        let front = kind.map(|kind| WebFront::start(telegram, Options::new(kind)));
        let next = match first {
            First::Upstream => {
                let next = ProxyOptions::new(binary, telegram, Route::Direct);
                Some(next.start().await)
            }
            _ => None,
        };
        Self {
            first,
            front: front.map(|front| front.expect("loopback can be listened on")),
            next,
        }
    }

    pub(super) fn flags(&self, options: ProxyOptions) -> ProxyOptions {
        let (first, next) = (self.first.word(), self.first.next_word());
        let mut options = options.set("--route", format!("{first},{next}"));
        if let Some(front) = &self.front {
            let address = front.address();
            options = match self.first {
                First::Zone => options
                    .trusting(front)
                    .set("--cloudflare-zone", format!("zone.example={address}")),
                First::Worker => options
                    .trusting(front)
                    .set("--cloudflare-worker", format!("tunnel.example={address}")),
                _ => options.web_front(front),
            };
        }
        match &self.next {
            Some(next) => {
                let secret = padded(&KEY);
                options.set("--upstream", format!("{}:{secret}", next.address()))
            }
            None => options,
        }
    }
}
