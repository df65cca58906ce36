//! The fake Telegram: its parts, and the strings by which tests pull it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use portable_atomic::AtomicU64;
use smol::Executor;
use smol::channel::{Sender, bounded};

use crate::control::{Accept, Behaviour, Close, Damage, Http};
use crate::counters::Counters;
use crate::crypto::random;
use crate::direct;
use crate::host::{Driven, Host};
use crate::middle;
use crate::shared::{self, Dc, Shared, lock, serve_web};

pub use crate::direct::DirectInfo;
pub use crate::middle::{ConnectionInfo, SessionInfo};

#[derive(Clone, Debug)]
pub struct Options {
    /// DCs that have middle proxies.
    pub middle_dcs: Vec<i16>,
    /// The one that the list calls the default.
    pub default_dc: i16,
    /// Middle proxies of each DC.
    pub addresses_per_dc: usize,
    /// Offer the middle proxies on `[::1]` too, in the V6 list.
    pub ipv6: bool,
    /// DCs that can be reached directly.
    pub direct_dcs: Vec<i16>,
    /// The ad tag that every request must carry; `None`: any or none.
    pub tag: Option<[u8; 16]>,
    /// The proxy secret.
    pub secret: Vec<u8>,
    /// Threads that serve, unless it is driven.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            middle_dcs: vec![1, 2, 3, 4, 5, -1, -2, -3, -4, -5, 203],
            default_dc: 2,
            addresses_per_dc: 1,
            ipv6: false,
            direct_dcs: vec![1, 2, 3, 4, 5, 203, 10001, 10002, 10003],
            tag: None,
            secret: random::<128>().to_vec(),
            threads: 1,
        }
    }
}

/// A flag of the proxy and its value.
pub type Flag = (&'static str, String);

/// Runs until it is dropped.
pub struct FakeTelegram {
    shared: Arc<Shared>,
    stop: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl FakeTelegram {
    /// Binds ephemeral loopback ports and serves them on its own threads.
    pub fn start(options: Options) -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let shared = serve(options, Host::Threads(Arc::downgrade(&executor)))?;
        let (stop, stopped) = bounded::<()>(1);
        let threads = (0..shared.options.threads.max(1)).map(|_| {
            let (executor, stopped) = (executor.clone(), stopped.clone());
            std::thread::spawn(move || {
                let _ = smol::block_on(executor.run(stopped.recv()));
            })
        });
        Ok(Self {
            threads: threads.collect(),
            shared,
            stop,
        })
    }

    /// The same without threads: it lives only while the caller drives it, in
    /// the caller's time (see [`host`](crate::host)).
    pub fn start_driven(options: Options) -> io::Result<(Self, Arc<Driven>)> {
        let driven = Driven::new()?;
        let shared = serve(options, Host::Driven(driven.clone()))?;
        // Nobody is told.
        let (stop, _) = bounded(1);
        let telegram = Self {
            threads: Vec::new(),
            shared,
            stop,
        };
        Ok((telegram, driven))
    }

    /// The proxy's flags for this Telegram, its lists over HTTP.
    pub fn proxy_flags(&self) -> Vec<Flag> {
        let url = |page: &str| format!("http://{}/{page}", self.shared.web);
        self.flags(
            url("getProxySecret"),
            url("getProxyConfig"),
            url("getProxyConfigV6"),
        )
    }

    /// The proxy's flags for this Telegram, its lists written to `dir`: for
    /// builds that cannot fetch.
    pub fn proxy_flags_with_files(&self, dir: &Path) -> io::Result<Vec<Flag>> {
        let file = |name: &str, content: &[u8]| -> io::Result<String> {
            let path = dir.join(name);
            std::fs::write(&path, content)?;
            Ok(path.display().to_string())
        };
        let [v4, v6] = [false, true].map(|v6| self.shared.config_text(v6));
        Ok(self.flags(
            file("proxy-secret", &self.shared.options.secret)?,
            file("proxy-config", v4.as_bytes())?,
            file("proxy-config-v6", v6.as_bytes())?,
        ))
    }

    fn flags(&self, secret: String, config: String, config_v6: String) -> Vec<Flag> {
        let mut flags = vec![
            ("--telegram-secret", secret),
            ("--telegram-config", config),
            ("--telegram-config-v6", config_v6),
            ("--external-ip", "127.0.0.1".to_owned()),
        ];
        for dc in &self.shared.direct {
            let addresses = dc.addresses.iter();
            flags.extend(addresses.map(|address| ("--dc", format!("{}={address}", dc.id))));
        }
        flags
    }

    /// Addresses of the middle proxies of DC `id`.
    pub fn middle_addresses(&self, id: i16) -> Vec<SocketAddr> {
        shared::addresses(&self.shared.middle, id)
    }

    /// Addresses of the DC `id` for direct connections.
    pub fn direct_addresses(&self, id: i16) -> Vec<SocketAddr> {
        shared::addresses(&self.shared.direct, id)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What the proxy did against the protocol so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// Panics if the proxy ever broke the protocol.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "violations: {violations:#?}");
    }

    /// The live sessions on middle-proxy connections.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let connections = self.shared.live_connections();
        connections.iter().flat_map(|one| one.sessions()).collect()
    }

    /// The live session of the client that came from `client`.
    pub fn session_of(&self, client: SocketAddr) -> Option<SessionInfo> {
        let mut sessions = self.sessions().into_iter();
        sessions.find(|session| session.client == client)
    }

    /// The live middle-proxy connections.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let connections = self.shared.live_connections();
        connections.iter().map(|one| one.info()).collect()
    }

    /// The live direct connections.
    pub fn direct_connections(&self) -> Vec<DirectInfo> {
        let connections = lock(&self.shared.directs);
        connections.values().map(|one| one.info.clone()).collect()
    }

    /// Changes the manners of every DC.
    pub fn behave(&self, change: impl Fn(&mut Behaviour)) {
        for dc in self.shared.middle.iter().chain(&self.shared.direct) {
            dc.behave(&self.shared.host, &change);
        }
    }

    /// Changes the manners of one DC.
    pub fn behave_dc(&self, id: i16, change: impl Fn(&mut Behaviour)) {
        let all = self.shared.middle.iter().chain(&self.shared.direct);
        for dc in all.filter(|dc| dc.id == id) {
            dc.behave(&self.shared.host, &change);
        }
    }

    /// Changes what the HTTP server does from its next request on.
    pub fn behave_http(&self, manners: Http) {
        *lock(&self.shared.http) = manners;
    }

    /// Ends every middle-proxy connection that `chosen` picks; how many.
    pub fn rotate(&self, how: Close, chosen: impl Fn(&ConnectionInfo) -> bool) -> usize {
        let connections = self.shared.live_connections();
        let chosen = connections.iter().filter(|one| chosen(&one.info()));
        chosen.map(|one| one.close(how)).count()
    }

    /// Ends every middle-proxy connection at once; how many.
    pub fn rotate_all(&self, how: Close) -> usize {
        self.rotate(how, |_| true)
    }

    /// The way to the middle-proxy connections that `chosen` picks is dark, or
    /// is not any more: what comes on them waits; how many.
    pub fn darken(&self, dark: bool, chosen: impl Fn(&ConnectionInfo) -> bool) -> usize {
        let connections = self.shared.live_connections();
        let chosen = connections.iter().filter(|one| chosen(&one.info()));
        chosen.map(|one| one.darken(dark)).count()
    }

    /// Ends the present middle-proxy connections one after the other.
    pub async fn rotate_staggered(&self, how: Close, pause: Duration) -> usize {
        let connections = self.shared.live_connections();
        for one in &connections {
            one.close(how);
            self.shared.host.sleep(pause).await;
        }
        connections.len()
    }

    /// Ends every direct connection; how many.
    pub fn close_direct(&self, how: Close) -> usize {
        let connections: Vec<_> = lock(&self.shared.directs).values().cloned().collect();
        connections.iter().for_each(|one| one.close(how));
        connections.len()
    }

    /// Ends, with RPC_CLOSE_EXT, the sessions that `chosen` picks; how many.
    pub fn close_sessions(&self, chosen: impl Fn(&SessionInfo) -> bool) -> usize {
        let connections = self.shared.live_connections();
        let closed = connections.iter().map(|one| one.close_sessions(&chosen));
        closed.sum()
    }

    /// Sends a ping on every middle-proxy connection.
    pub fn ping(&self) {
        self.shared
            .live_connections()
            .iter()
            .for_each(|one| one.ping());
    }

    /// Sends a damaged frame on every middle-proxy connection of `dc`.
    pub fn damage(&self, dc: i16, damage: Damage) {
        let connections = self.shared.live_connections();
        let of_dc = connections.iter().filter(|one| one.info().dc == dc);
        of_dc.for_each(|one| one.damage(damage));
    }

    /// Sends messages that a proxy must ignore on every connection: one of an
    /// unknown kind, and an answer and an end of a session that is not.
    pub fn send_nonsense(&self) {
        for one in self.shared.live_connections() {
            one.send_unknown();
            one.send_stray();
        }
    }
}

/// Binds ephemeral loopback ports and serves them on `host`.
fn serve(options: Options, host: Host) -> io::Result<Arc<Shared>> {
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut listeners = Vec::new();
    let middle = options.middle_dcs.iter();
    let middle = middle
        .map(|id| Dc::bind(*id, options.addresses_per_dc, options.ipv6, &mut listeners))
        .collect::<io::Result<Vec<_>>>()?;
    let direct_from = listeners.len();
    let direct = options.direct_dcs.iter();
    let direct = direct
        .map(|id| Dc::bind(*id, 1, false, &mut listeners))
        .collect::<io::Result<Vec<_>>>()?;
    let direct_listeners = listeners.split_off(direct_from);
    let shared = Arc::new(Shared {
        web: web.local_addr()?,
        middle,
        direct,
        host,
        counters: Counters::default(),
        http: Mutex::default(),
        violations: Mutex::default(),
        connections: Mutex::default(),
        directs: Mutex::default(),
        numbers: AtomicU64::new(1),
        options,
    });
    for bound in listeners {
        shared.listen(bound, |b| b.accept == Accept::Refuse, middle::serve);
    }
    for bound in direct_listeners {
        shared.listen(bound, |b| b.direct_refuse, direct::serve);
    }
    let web = shared.host.listener(web)?;
    shared.spawn(serve_web(shared.clone(), web));
    Ok(shared)
}

impl Drop for FakeTelegram {
    fn drop(&mut self) {
        if let Host::Driven(driven) = &self.shared.host {
            driven.end();
        }
        self.stop.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // What was cut off did not leave them, and they know what we share.
        lock(&self.shared.connections).clear();
        lock(&self.shared.directs).clear();
    }
}
