//! Telegram's web front, as strict as it may be: TLS by an authority of its own,
//! WebSocket to the letter, exactly one packet a message. With other names it is a
//! Cloudflare zone before it, or a Cloudflare Worker: a tunnel of bytes. What it
//! finds amiss is a violation of the [`FakeTelegram`] behind it.
//!
//! - `manners.rs`: how it misbehaves on request;
//! - `authority.rs`: certificates;
//! - `channel.rs`: TLS over a socket;
//! - `request.rs`: the request for WebSocket and its answer;
//! - `frames.rs`: frames, both ways;
//! - `place.rs`: which names and paths lead to which DC;
//! - `connection.rs`: one connection from its hello to its end.

mod authority;
mod channel;
mod connection;
mod frames;
pub mod manners;
mod place;
pub(crate) mod request;
#[cfg(test)]
mod self_test;
#[cfg(test)]
mod test_client;

pub use authority::Authority;
pub use frames::{CLOSE, PING, PONG, close_payload, frame, header};
pub use place::Kind;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use smol::channel::Sender;

use crate::control::Behaviour;
use crate::shared::{Bound, Dc, Shared, lock};
use crate::telegram::FakeTelegram;
use connection::Order;
use manners::Manners;

/// What there is to know of a web front before it starts.
#[derive(Clone)]
pub struct Options {
    pub kind: Kind,
    pub authority: Arc<Authority>,
    /// DCs behind it.
    pub dcs: Vec<i16>,
    /// Takes any request that is good HTTP, not only ours.
    pub lax: bool,
}

impl Options {
    /// One that serves all DCs, the tests' too.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            authority: Arc::new(Authority::new()),
            dcs: vec![1, 2, 3, 4, 5, 203, 10001, 10002, 10003],
            lax: false,
        }
    }
}

/// One request for WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The name in the hello.
    pub name: String,
    pub host: String,
    pub path: String,
}

/// What happened since the start.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub accepted: u64,
    /// Connections that are open.
    pub live: u64,
    /// Names in hellos; empty where there was none.
    pub names: Vec<String>,
    /// Handshakes that were finished, those of them by TLS 1.3, and those that went
    /// on with what an earlier one left.
    pub shaken: u64,
    pub shaken_13: u64,
    pub resumed: u64,
    /// Bytes of TLS that were sent.
    pub sealed: u64,
    pub visits: Vec<Visit>,
    /// Answers of 101.
    pub upgraded: u64,
    /// Streams whose header, or first message, came; the DC in its field.
    pub opened: Vec<i16>,
    pub messages: u64,
    pub message_bytes: u64,
    pub longest_message: u64,
    pub pings: u64,
    pub pongs: u64,
    /// Connections that were ended, or fell silent, without a reset.
    pub ended: u64,
    /// CLOSEs that came, by their code: clients' own, and answers to ours.
    pub closes: Vec<u16>,
    pub close_echoes: Vec<u16>,
    /// Connections that ended after the 101 without a CLOSE.
    pub unclosed: u64,
}

/// Runs as long as the Telegram behind it.
pub struct WebFront {
    inner: Arc<Inner>,
    address: SocketAddr,
    /// Its listener.
    door: Arc<Dc>,
}

pub(crate) struct Inner {
    shared: Arc<Shared>,
    options: Options,
    dcs: BTreeMap<i16, Arc<Dc>>,
    manners: Mutex<Manners>,
    tally: Mutex<Tally>,
    live: Mutex<BTreeMap<u64, Sender<Order>>>,
}

impl WebFront {
    /// Binds an ephemeral loopback port and serves it where `telegram` runs.
    pub fn start(telegram: &FakeTelegram, options: Options) -> io::Result<Self> {
        let shared = telegram.shared().clone();
        let mut bound: Vec<Bound> = Vec::new();
        let door = Dc::bind(0, 1, false, &mut bound)?;
        let address = door.addresses[0];
        let dcs = options.dcs.iter();
        let inner = Arc::new(Inner {
            dcs: dcs.map(|id| (*id, Dc::behind(*id))).collect(),
            shared: shared.clone(),
            options,
            manners: Mutex::default(),
            tally: Mutex::default(),
            live: Mutex::default(),
        });
        for bound in bound {
            let inner = inner.clone();
            shared.listen(
                bound,
                |b| b.direct_refuse,
                move |_, _, stream| connection::serve(inner.clone(), stream),
            );
        }
        Ok(Self {
            inner,
            address,
            door,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Changes the manners that connections meet from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut lock(&self.inner.manners));
    }

    /// Changes those of the DCs behind it, all or one.
    pub fn behave_dcs(&self, id: Option<i16>, change: impl Fn(&mut Behaviour)) {
        let all = self.inner.dcs.iter();
        for (_, dc) in all.filter(|(dc, _)| id.is_none_or(|id| **dc == id)) {
            dc.behave(&self.inner.shared.host, &change);
        }
    }

    /// Nobody listens at its address, or somebody does again.
    pub fn refuse(&self, refuses: bool) {
        let change = |behaviour: &mut Behaviour| behaviour.direct_refuse = refuses;
        self.door.behave(&self.inner.shared.host, change);
    }

    pub fn tally(&self) -> Tally {
        lock(&self.inner.tally).clone()
    }

    /// Sends CLOSE on every connection that is upgraded; how many.
    pub fn close(&self, code: u16, text: &str) -> usize {
        self.order(|| Order::Close(code, text.to_owned()))
    }

    /// Sends a ping on every connection that is upgraded; how many.
    pub fn ping(&self, payload: &[u8]) -> usize {
        self.order(|| Order::Ping(payload.to_owned()))
    }

    /// Sends these bytes as they are on every connection that is upgraded; how many.
    pub fn send(&self, bytes: &[u8]) -> usize {
        self.order(|| Order::Bytes(bytes.to_owned()))
    }

    /// Ends every connection that is upgraded, without a CLOSE; how many.
    pub fn end(&self, ill: manners::Ill) -> usize {
        self.order(|| Order::Suffer(ill))
    }

    fn order(&self, order: impl Fn() -> Order) -> usize {
        let live = lock(&self.inner.live);
        let told = live.values().map(|orders| orders.try_send(order()));
        told.filter(Result::is_ok).count()
    }
}

impl Inner {
    fn violation(&self, what: &str) {
        self.shared.violation(format!("web front: {what}"));
    }

    fn count<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut lock(&self.tally))
    }
}
