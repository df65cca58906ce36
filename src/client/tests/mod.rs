//! Clients on loopback against a scripted Telegram.

mod app;
mod farewells;
mod handshakes;
mod lines;
mod openings;
#[cfg(feature = "tls")]
mod own_face;
mod places;
mod pressure;
mod relays;
mod reloads;
mod segments;
mod strangers;
mod tails;
mod telegram;
#[cfg(feature = "tls")]
mod web_doors;
mod web_streams;

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{ClientContext, ClientParts, ListenerHandle, Rules, Sites, listen};
use crate::config::{ClientConfig, Config, DataDir, Fronting, GuardConfig, SiteConfig};
use crate::guard::gate::Gate;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Listener, Live, PipePool, Reactor};
use crate::wire::secret::Secret;
use telegram::Telegram;

/// No condition takes as long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const SECRET: Secret = Secret([0x5a; 16]);
pub(crate) const OTHER_SECRET: Secret = Secret([0x77; 16]);

/// A proxy with one listener.
pub(crate) struct World {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) context: Rc<ClientContext>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) telegram: Rc<Telegram>,
    pub(crate) listener: ListenerHandle,
}

pub(crate) struct Setup {
    pub(crate) clients: ClientConfig,
    pub(crate) buffers: usize,
    pub(crate) rules: Rules,
    pub(crate) guard: GuardConfig,
    pub(crate) fronting: Fronting,
    pub(crate) max_strangers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let hex = |Secret(key)| data_encoding::HEXLOWER.encode(&key);
        let config = Config::of(&[
            ("--listen", "127.0.0.1:1,name=test"),
            ("--secret", &format!("other=dd{}", hex(OTHER_SECRET))),
            ("--secret", &format!("first=dd{}", hex(SECRET))),
            ("--allow", "classic,dd,tls"),
            ("--route", "middle"),
            ("--max-clients", "100"),
            ("--max-handshakes", "100"),
            ("--flood-limit", "off"),
            ("--replay-cache", "1024"),
            ("--buffers", "16M"),
        ]);
        Self {
            clients: ClientConfig {
                handshake_timeout: DEADLINE,
                idle_timeout: DEADLINE,
                send_timeout: DEADLINE,
                hibernate: DEADLINE,
                ..config.clients
            },
            buffers: config.process.buffers,
            rules: Rules::new(&config.doors, &config.doors.listeners[0]),
            guard: config.guard,
            fronting: config.sites.fronting,
            max_strangers: 10,
        }
    }
}

impl Setup {
    /// Runs `test` against a proxy set up like this.
    pub(crate) fn run<F: Future<Output = ()>>(self, test: impl FnOnce(Rc<World>) -> F) {
        self.run_on(Reactor::virtual_time().unwrap(), test);
    }

    /// The same where the kernel's clock matters.
    pub(crate) fn run_in_real_time<F: Future<Output = ()>>(
        self,
        test: impl FnOnce(Rc<World>) -> F,
    ) {
        self.run_on(Reactor::new().unwrap(), test);
    }

    fn run_on<F: Future<Output = ()>>(
        self,
        reactor: Rc<Reactor>,
        test: impl FnOnce(Rc<World>) -> F,
    ) {
        let executor = Rc::new(Executor::default());
        let (metrics, telegram) = (Rc::new(Metrics::default()), Rc::new(Telegram::default()));
        let buffers = BufferPool::new(reactor.clock(), self.buffers);
        let sites = Live::new(SiteConfig {
            fronting: self.fronting,
            domains: self.rules.tls_domains.clone(),
            max_strangers: self.max_strangers,
            ..Config::of(&[]).sites
        });
        let nowhere = DataDir::new("/nonexistent".as_ref());
        let sites = Sites::new(&reactor, &executor, &metrics, sites, nowhere, || None);
        let secrets = self.rules.secrets.iter();
        let limits = secrets.map(|secret| (&*secret.name, secret.limits));
        let context = ClientContext::new(ClientParts {
            sites,
            reactor: reactor.clone(),
            executor: executor.clone(),
            buffers: buffers.clone(),
            scratch: Rc::default(),
            pipes: PipePool::new(8),
            backend: telegram.clone(),
            gate: Gate::new(&self.guard, limits, "", reactor.now()).unwrap(),
            metrics: metrics.clone(),
            config: Live::new(self.clients),
        });
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Rc::new(Listener::bind(&reactor, anywhere).unwrap());
        let listener = listen(&context, listener, self.rules);
        let world = Rc::new(World {
            reactor: reactor.clone(),
            context,
            buffers: buffers.clone(),
            metrics,
            telegram,
            listener,
        });
        let (fair, clock) = (buffers.clone(), reactor.clone());
        executor
            .spawn(async move { fair.keep_fair(&clock).await })
            .detach();
        reactor.block_on(&executor, test(world));
    }
}

impl World {
    /// Waits until `condition` holds.
    pub(crate) async fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        let took = self.reactor.until(DEADLINE, condition).await;
        assert!(took.is_some(), "in vain: {what}");
    }
}

/// Bytes of the future that a function of three arguments returns.
fn future_size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_client_is_small() {
    let task = future_size(|place, client, ()| super::accept::stay(place, client));
    let out = size_of::<super::out::ClientOut>();
    let stream = size_of::<super::packets::StreamRelay>();
    let line = size_of::<super::line::LineRelay>();
    let stranger = size_of::<super::site_relay::SiteRelay>();
    let small = task <= 128 && out <= 336 && stream <= 352 && line <= 384 && stranger <= 384;
    assert!(
        small,
        "task {task}, out {out}, stream {stream}, line {line}, stranger {stranger}"
    );
}

#[test]
fn an_unproven_client_is_small() {
    let beginning = future_size(super::enter::enter);
    assert!(beginning <= 2560, "{beginning}");
}
