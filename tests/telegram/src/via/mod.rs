//! What `--via` goes through: a strict SOCKS5 or HTTP CONNECT server, which relays
//! to where it is asked, notes everything that its client says otherwise than
//! RFC 1928, 1929 and 9110 and `doc/protocol.md` have it, and misbehaves on request.
//!
//! It connects to loopback addresses alone. Others, and names, get there by
//! [`Via::lead`].

mod connect;
mod manners;
mod relay;
#[cfg(test)]
mod self_test;
mod socks5;
mod talk;

pub use manners::{Bound, Fault, Manners, Step, Then, granted, head, reply};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use smol::channel::{Sender, bounded};
use smol::{Async, Executor};

use crate::control::Close;
use crate::harness::free_address;
use crate::shared::lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Socks5,
    Http,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Socks5, Self::Http];
}

#[derive(Clone, Debug)]
pub struct Options {
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// The user and password without which nobody gets through.
    pub credentials: Option<(String, String)>,
}

impl Options {
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            address: free_address(),
            credentials: None,
        }
    }

    pub fn credentials(self, user: &str, password: &str) -> Self {
        Self {
            credentials: Some((user.to_owned(), password.to_owned())),
            ..self
        }
    }
}

/// Where a client wants to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Address(SocketAddr),
    Name(String, u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub accepted: u64,
    /// Those of them that are not over.
    pub live: u64,
    /// The most of them at one time.
    pub most_live: u64,
    /// Tunnels opened.
    pub opened: u64,
    /// Bytes that went through tunnels, from the client and to it.
    pub up: u64,
    pub down: u64,
    /// Whether credentials were shown, once for each connection that got so far.
    pub with_credentials: Vec<bool>,
    /// Where to, in the order of asking, whatever became of it.
    pub targets: Vec<Target>,
    pub violations: Vec<String>,
}

/// Runs on a thread of its own until it is dropped, which resets its tunnels.
pub struct Via {
    inner: Arc<Inner>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    options: Options,
    manners: Mutex<Manners>,
    seen: Mutex<Seen>,
    /// Where targets really are.
    leads: Mutex<BTreeMap<String, SocketAddr>>,
    /// One for each tunnel.
    tunnels: Mutex<Vec<Sender<Close>>>,
}

impl Inner {
    fn see<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut lock(&self.seen))
    }

    fn violation(&self, what: impl Into<String>) {
        self.see(|seen| seen.violations.push(what.into()));
    }
}

impl Via {
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = Async::new(TcpListener::bind(options.address)?)?;
        let inner = Arc::new(Inner {
            options,
            manners: Mutex::default(),
            seen: Mutex::default(),
            leads: Mutex::default(),
            tunnels: Mutex::default(),
        });
        let (stop, stopped) = bounded::<()>(1);
        let shared = inner.clone();
        let thread = std::thread::spawn(move || {
            let executor = Arc::new(Executor::new());
            let accepting = accept(shared, listener, Arc::downgrade(&executor));
            executor.spawn(accepting).detach();
            let _ = smol::block_on(executor.run(stopped.recv()));
        });
        Ok(Self {
            inner,
            stop,
            thread: Some(thread),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.inner.options.address
    }

    /// The value of `--via` for this server. `scheme`: `socks5`, `socks5h` or `http`.
    pub fn url(&self, scheme: &str) -> String {
        let credentials = match &self.inner.options.credentials {
            Some((user, password)) => format!("{}:{}@", percent(user), percent(password)),
            None => String::new(),
        };
        format!("{scheme}://{credentials}{}", self.address())
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// How the next connections are treated.
    pub fn behave(&self, manners: Manners) {
        *lock(&self.inner.manners) = manners;
    }

    /// Who asks for `target` (`name:port`) gets to `address`.
    pub fn lead(&self, target: impl fmt::Display, address: SocketAddr) {
        lock(&self.inner.leads).insert(target.to_string(), address);
    }

    pub fn seen(&self) -> Seen {
        lock(&self.inner.seen).clone()
    }

    /// How often `target` was asked for.
    pub fn asked_for(&self, target: &Target) -> usize {
        let seen = self.seen();
        seen.targets.iter().filter(|one| *one == target).count()
    }

    /// Ends the present tunnels on both sides; how many.
    pub fn cut(&self, how: Close) -> usize {
        let tunnels = std::mem::take(&mut *lock(&self.inner.tunnels));
        let told = tunnels.iter().filter(|one| one.try_send(how).is_ok());
        told.count()
    }

    /// Panics if a client ever said what it should not.
    pub fn assert_clean(&self) {
        let violations = self.seen().violations;
        assert!(violations.is_empty(), "violations: {violations:#?}");
    }
}

impl Drop for Via {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    inner: Arc<Inner>,
    listener: Async<TcpListener>,
    executor: Weak<Executor<'static>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (inner, Some(executor)) = (inner.clone(), executor.upgrade()) else {
            return;
        };
        inner.see(|seen| {
            seen.accepted += 1;
            seen.live += 1;
            seen.most_live = seen.most_live.max(seen.live);
        });
        executor
            .spawn(async move {
                let _ = stream.get_ref().set_nodelay(true);
                serve(&inner, stream).await;
                inner.see(|seen| seen.live -= 1);
            })
            .detach();
    }
}

async fn serve(inner: &Arc<Inner>, stream: Async<TcpStream>) {
    let mut talk = talk::Talk::new(inner, stream);
    let tunnel = match inner.options.protocol {
        Protocol::Socks5 => socks5::serve(&mut talk).await,
        Protocol::Http => connect::serve(&mut talk).await,
    };
    if let Ok(far) = tunnel {
        relay::run(inner, talk.into_stream(), far).await;
    }
}

/// Everything but letters and digits as `%XX`.
fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
