//! What the tasks of one fake Telegram share, and its listeners.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use portable_atomic::AtomicU64;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use smol::channel::{Receiver, Sender, unbounded};
use smol::future::FutureExt;

use crate::control::{Behaviour, Cut, Damage, Http};
use crate::counters::Counters;
use crate::direct::DirectConnection;
use crate::host::{Host, Listener, Stream};
use crate::http;
use crate::middle::Connection;
use crate::telegram::Options;
use crate::watched::Watched;

/// What the tasks of one fake Telegram share.
pub(crate) struct Shared {
    pub options: Options,
    pub counters: Counters,
    pub web: SocketAddr,
    pub middle: Vec<Arc<Dc>>,
    pub direct: Vec<Arc<Dc>>,
    pub host: Host,
    pub http: Mutex<Http>,
    pub violations: Mutex<Vec<String>>,
    pub connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    pub directs: Mutex<BTreeMap<u64, Arc<DirectConnection>>>,
    pub numbers: AtomicU64,
}

impl Shared {
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.host.spawn(task);
    }

    pub fn violation(&self, what: String) {
        lock(&self.violations).push(what);
    }

    pub fn http(&self) -> Http {
        lock(&self.http).clone()
    }

    /// The first 4 bytes of the proxy secret.
    pub fn key_selector(&self) -> &[u8] {
        &self.options.secret[..4]
    }

    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    pub fn add_connection(&self, number: u64, connection: Arc<Connection>) {
        lock(&self.connections).insert(number, connection);
    }

    pub fn remove_connection(&self, number: u64) {
        lock(&self.connections).remove(&number);
    }

    pub fn add_direct(&self, number: u64, connection: Arc<DirectConnection>) {
        lock(&self.directs).insert(number, connection);
    }

    pub fn remove_direct(&self, number: u64) {
        lock(&self.directs).remove(&number);
    }

    /// The list of middle proxies in Telegram's format.
    pub fn config_text(&self, v6: bool) -> String {
        let mut text = format!("# fake\ndefault {};\n", self.options.default_dc);
        for dc in &self.middle {
            for address in dc.addresses.iter().filter(|one| one.is_ipv6() == v6) {
                text += &format!("proxy_for {} {address};\n", dc.id);
            }
        }
        text
    }

    pub fn live_connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).values().cloned().collect()
    }

    /// Serves `bound` for ever, except while its DC is told to refuse.
    pub fn listen<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        bound: Bound,
        refuse: fn(&Behaviour) -> bool,
        serve: impl Fn(Arc<Shared>, Arc<Dc>, Stream) -> F + Send + 'static,
    ) {
        let shared = self.clone();
        self.spawn(async move {
            let Bound {
                dc,
                listener,
                changed,
            } = bound;
            let (Ok(address), Ok(mut listener)) =
                (listener.local_addr(), shared.host.listener(listener))
            else {
                return;
            };
            // Dropped once what it told of is so: `Dc::behave` waits for that.
            let mut told: Option<mpsc::Sender<()>> = None;
            loop {
                if dc.with(refuse) {
                    drop(listener);
                    // A process that another test forks just then holds it, too,
                    // until it runs its program.
                    let mut held = hold(address);
                    for _ in 0..200 {
                        if held.is_ok() {
                            break;
                        }
                        shared.host.sleep(Duration::from_millis(5)).await;
                        held = hold(address);
                    }
                    let Ok(held) = held else { return };
                    while dc.with(refuse) {
                        drop(told.take());
                        told = changed.recv().await.ok();
                    }
                    let heard = rustix::net::listen(&held, 1024);
                    let (Ok(()), Ok(again)) = (heard, shared.host.listener(held.into())) else {
                        return;
                    };
                    listener = again;
                }
                drop(told.take());
                let accepted = shared.accept(&listener);
                let interrupted = async {
                    told = changed.recv().await.ok();
                    None
                };
                match interrupted.or(accepted).await {
                    None => {}
                    Some(stream) => {
                        let _ = stream.get_ref().set_nodelay(true);
                        shared.spawn(serve(shared.clone(), dc.clone(), stream));
                    }
                }
            }
        });
    }

    /// The next connection; `None` after a rest, when there could be none.
    async fn accept(&self, listener: &Listener) -> Option<Stream> {
        let accepted = listener.accept().await;
        match accepted.and_then(|stream| self.host.stream(stream)) {
            Ok(stream) => Some(stream),
            Err(_) => {
                self.host.sleep(Duration::from_millis(20)).await;
                None
            }
        }
    }
}

/// A socket that keeps its port from the other tests while nothing listens.
fn hold(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

pub(crate) async fn serve_web(shared: Arc<Shared>, listener: Listener) {
    loop {
        if let Some(stream) = shared.accept(&listener).await {
            shared.spawn(http::serve(shared.clone(), stream));
        }
    }
}

/// One DC on one route.
pub(crate) struct Dc {
    pub id: i16,
    pub addresses: Vec<SocketAddr>,
    behaviour: Watched<Behaviour>,
    /// One per listener, told when the behaviour changes.
    changed: Vec<Sender<mpsc::Sender<()>>>,
}

pub(crate) struct Bound {
    dc: Arc<Dc>,
    listener: TcpListener,
    changed: Receiver<mpsc::Sender<()>>,
}

impl Dc {
    pub fn bind(
        id: i16,
        count: usize,
        ipv6: bool,
        bound: &mut Vec<Bound>,
    ) -> io::Result<Arc<Self>> {
        let mut listeners = Vec::new();
        for _ in 0..count.max(1) {
            listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
            if ipv6 {
                listeners.push(TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?);
            }
        }
        let addresses = listeners.iter().map(TcpListener::local_addr);
        let (tellers, told): (Vec<_>, Vec<_>) = listeners.iter().map(|_| unbounded()).unzip();
        let dc = Arc::new(Self {
            id,
            addresses: addresses.collect::<io::Result<_>>()?,
            behaviour: Watched::default(),
            changed: tellers,
        });
        bound.extend(
            listeners
                .into_iter()
                .zip(told)
                .map(|(listener, changed)| Bound {
                    dc: dc.clone(),
                    listener,
                    changed,
                }),
        );
        Ok(dc)
    }

    /// One that nobody can dial: it is behind something.
    pub fn behind(id: i16) -> Arc<Self> {
        Arc::new(Self {
            id,
            addresses: Vec::new(),
            behaviour: Watched::default(),
            changed: Vec::new(),
        })
    }

    pub fn with<T>(&self, look: impl FnOnce(&Behaviour) -> T) -> T {
        self.behaviour.with(look)
    }

    /// Completes while `is_so` holds of how it behaves.
    pub async fn until(&self, is_so: impl Fn(&Behaviour) -> bool) {
        self.behaviour.until(is_so).await;
    }

    /// Returns once the listeners listen or refuse as they are told now.
    pub fn behave(&self, host: &Host, change: impl Fn(&mut Behaviour)) {
        self.behaviour.change(change);
        let (told, applied) = mpsc::channel::<()>();
        for listener in &self.changed {
            let _ = listener.try_send(told.clone());
        }
        drop(told);
        match host {
            Host::Threads(_) => {
                let _ = applied.recv();
            }
            Host::Driven(driven) => {
                while applied.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    assert!(driven.run_one(), "listeners obey at once");
                }
            }
        }
    }

    /// Takes the cut that is due, if it is of the kind that `now` accepts.
    pub fn take_cut(&self, now: impl Fn(&Cut) -> bool) -> Option<Cut> {
        let take = |behaviour: &mut Behaviour| behaviour.cut.take_if(|cut| now(cut));
        self.behaviour.with_mut(take)
    }

    pub fn take_damage(&self) -> Option<Damage> {
        let take = |behaviour: &mut Behaviour| behaviour.damage.take();
        self.behaviour.with_mut(take)
    }
}

pub(crate) fn addresses(dcs: &[Arc<Dc>], id: i16) -> Vec<SocketAddr> {
    let of_dc = dcs.iter().filter(|dc| dc.id == id);
    of_dc.flat_map(|dc| dc.addresses.clone()).collect()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}
