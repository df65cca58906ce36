use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::RunError;
#[cfg(feature = "ctl")]
use super::control;
use super::ports::Ports;
use super::replays::ReplayFiles;
use super::settings::Settings;
use super::signals::{Hangups, Signals};
use super::usage::UsageFile;
use super::welcome;
use crate::backend::Backend;
use crate::cli::exposition;
use crate::client::{ClientContext, ClientParts, Sites};
use crate::config::{Config, ConfigSource, DataDir, DataLock, Role};
use crate::guard::gate::Gate;
use crate::link::{self, Back, Front, LinkContext, Security};
use crate::log::{self, Throttle};
use crate::metrics::{HandshakeOutcome, Metrics};
#[cfg(feature = "ctl")]
use crate::net::Turnstile;
use crate::net::{BufferPool, Executor, Listener, PipePool, Reactor, Scratch, unblock};
use crate::telegram::directory::{Directory, PublicAddress};
use crate::telegram::{Patience, Shared, Telegram};
use crate::wire::link::Role as LinkRole;
use crate::wire::transport::MAX_PACKET;

/// How long a disk gets for the last state.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The same for what clients that were let finish have added to it.
const LATE_WRITES: Duration = Duration::from_secs(2);

/// How long clients get to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(3);

/// Between repeated lines about DCs that cannot be reached.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// Everything that runs.
pub(super) struct Server {
    pub(super) executor: Rc<Executor>,
    pub(super) reactor: Rc<Reactor>,
    pub(super) metrics: Rc<Metrics>,
    pub(super) buffers: Rc<BufferPool>,
    /// Not on a front.
    pub(super) telegram: Option<Rc<Telegram>>,
    pub(super) shared: Option<Rc<Shared>>,
    /// Not on a back.
    pub(super) clients: Option<Rc<ClientContext>>,
    pub(super) sites: Option<Rc<Sites>>,
    pub(super) address: Rc<PublicAddress>,
    pub(super) front: Option<Rc<Front>>,
    pub(super) back: Option<Rc<Back>>,
    pub(super) ports: Ports,
    pub(super) config: RefCell<Rc<Config>>,
    /// What each room goes by of it.
    pub(super) settings: Settings,
    pub(super) gate: Rc<Gate>,
    pub(super) usage: UsageFile,
    pub(super) replays: ReplayFiles,
    data_lock: DataLock,
    started: Instant,
    /// Of tables, by ctl.
    #[cfg(feature = "ctl")]
    pub(super) saves: Turnstile,
    /// The socket for ctl, once it is bound.
    pub(super) control: OnceCell<PathBuf>,
    /// What tells it from another one's.
    #[cfg(feature = "ctl")]
    pub(super) control_file: Cell<Option<[u64; 4]>>,
    scrapes: Cell<Option<Listener>>,
    signals: Signals,
}

impl Server {
    pub fn new(
        reactor: &Rc<Reactor>,
        config: Rc<Config>,
        hangups: Hangups,
    ) -> Result<Rc<Self>, RunError> {
        let clock = reactor.clock();
        let data_lock = DataLock::take(&config.process.data_dir)
            .map_err(|in_use| RunError::DataDir(config.process.data_dir.clone(), in_use))?;
        // Until the process is gone: a thread may still write.
        std::mem::forget(data_lock.clone());
        let data_dir = || DataDir::new(&config.process.data_dir);
        let (usage, used) = UsageFile::read(&config.process.data_dir);
        let executor: Rc<Executor> = Rc::new(Executor::default());
        let metrics = Rc::new(Metrics::default());
        let buffers = BufferPool::with_room_for(clock, MAX_PACKET, config.process.buffers);
        let scratch = Rc::new(Scratch::default());
        let link_context = || LinkContext {
            reactor: reactor.clone(),
            executor: executor.clone(),
            buffers: buffers.clone(),
            scratch: scratch.clone(),
            metrics: metrics.clone(),
            patience: link::Patience::default(),
            places: config.link.places,
        };
        let settings = Settings::new(&config);
        let address = PublicAddress::new(settings.address.clone(), config.process.role);
        let shared = (config.process.role != Role::Front).then(|| {
            Rc::new(Shared {
                reactor: reactor.clone(),
                executor: executor.clone(),
                buffers: buffers.clone(),
                scratch: scratch.clone(),
                directory: Directory::new(settings.telegram.clone(), data_dir(), &metrics, clock),
                address: address.clone(),
                metrics: metrics.clone(),
                config: settings.telegram.clone(),
                patience: Patience::default(),
                complaints: Throttle::new(COMPLAINTS),
            })
        });
        let telegram = shared.clone().map(Telegram::new);
        let security = || {
            let loaded = Security::load(&config.link, link_role(&config));
            loaded.map_err(RunError::Link)
        };
        let (mut front, mut back) = (None, None);
        let backend: Option<Rc<dyn Backend>> = match (config.process.role, &telegram) {
            (Role::Both, Some(telegram)) => Some(telegram.clone()),
            (_, Some(telegram)) => {
                let telegram = telegram.clone();
                back = Some(Back::new(link_context(), security()?, telegram));
                None
            }
            (_, None) => {
                let made = Front::new(link_context(), security()?, settings.link.clone());
                front = Some(made.clone());
                Some(made)
            }
        };
        let gate = Gate::new(&config.guard, config.doors.limits(), &used, reactor.now());
        let gate = gate.map_err(RunError::Gate)?;
        for barrier in gate.barriers(&config.guard.policies) {
            warn!("{barrier}");
        }
        let replays = ReplayFiles::restore(&gate, &config, &data_lock, reactor);
        let sites = backend.is_some().then(|| {
            let address = address.clone();
            let public_ip = move || address.known();
            let config = settings.sites.clone();
            Sites::new(reactor, &executor, &metrics, config, data_dir(), public_ip)
        });
        let clients = backend.zip(sites.clone()).map(|(backend, sites)| {
            ClientContext::new(ClientParts {
                reactor: reactor.clone(),
                executor: executor.clone(),
                buffers: buffers.clone(),
                scratch: scratch.clone(),
                pipes: PipePool::new(config.descriptors.pipes),
                backend,
                gate: gate.clone(),
                metrics: metrics.clone(),
                sites,
                config: settings.clients.clone(),
            })
        });
        let server = Rc::new(Self {
            gate,
            usage,
            replays,
            data_lock,
            started: clock.now(),
            #[cfg(feature = "ctl")]
            saves: Turnstile::default(),
            control: OnceCell::new(),
            #[cfg(feature = "ctl")]
            control_file: Cell::default(),
            scrapes: Cell::new(bind_metrics(reactor, &config)?),
            signals: Signals::new(reactor, hangups).map_err(RunError::System)?,
            executor,
            reactor: reactor.clone(),
            metrics,
            buffers,
            telegram,
            shared,
            clients,
            address,
            sites,
            front,
            back,
            ports: Ports::default(),
            config: RefCell::new(config),
            settings,
        });
        server.open_first_ports()?;
        #[cfg(feature = "ctl")]
        control::start(&server);
        Ok(server)
    }

    /// Serves until a signal says stop, then lets clients finish.
    pub async fn serve(self: Rc<Self>, source: &ConfigSource) {
        self.announce();
        self.start_background();
        if !source.has_file() && self.clients.is_some() {
            let command = welcome::command(source, &self.config.borrow().process.data_dir);
            self.spawn(welcome::show(self.clone(), command));
        }
        let reloading = async {
            loop {
                self.signals.reload().await;
                self.reload(source).await;
            }
        };
        smol::future::or(self.signals.stop(), reloading).await;
        self.stop().await;
    }

    fn announce(&self) {
        let config = self.config.borrow();
        for note in &config.said.notes {
            info!("{note}");
        }
        for warning in config.said.warnings.iter().chain(&config.said.lowered) {
            warn!("{warning}");
        }
        if config.process.role == Role::Back {
            let (version, buffers) = (env!("CARGO_PKG_VERSION"), config.process.buffers / 1024);
            info!("smol-mtproxy {version}, back: {buffers} KiB of buffers");
            return;
        }
        info!(
            "smol-mtproxy {}: at most {} clients, {} KiB of buffers",
            env!("CARGO_PKG_VERSION"),
            config.clients.max_clients,
            config.process.buffers / 1024
        );
    }

    fn start_background(self: &Rc<Self>) {
        if let Some(telegram) = &self.telegram {
            telegram.warm_up();
        }
        if let Some(shared) = self.shared.clone() {
            self.spawn(async move { shared.directory.clone().run(&shared.reactor).await });
        }
        let (address, reactor) = (self.address.clone(), self.reactor.clone());
        self.spawn(async move { address.run(&reactor).await });
        if let Some(front) = self.front.clone() {
            self.spawn(front.run());
        }
        #[cfg(feature = "tls")]
        if self.front.is_some() || self.back.is_some() {
            self.spawn(self.clone().watch_certificates());
        }
        if let Some(clients) = self.clients.clone() {
            self.spawn(async move { clients.enforce_limits().await });
        }
        let (buffers, reactor) = (self.buffers.clone(), self.reactor.clone());
        self.spawn(async move { buffers.keep_fair(&reactor).await });
        let server = self.clone();
        self.spawn(async move { server.keep_usage_for_ever().await });
        let server = self.clone();
        self.spawn(async move { server.keep_replays_for_ever().await });
        if let Some(sites) = self.sites.clone() {
            self.spawn(sites.run());
        }
        if let Some(listener) = self.scrapes.take() {
            let server = self.clone();
            self.spawn(exposition::serve(
                self.reactor.clone(),
                self.executor.clone(),
                listener,
                move || server.render_metrics(),
            ));
        }
    }

    /// Writes what outlives the run; whether a disk took it within `limit`.
    async fn leave_files(&self, limit: Duration, with_replays: bool) -> bool {
        let replays = async {
            if with_replays {
                self.keep_replays().await;
            }
        };
        let files = smol::future::zip(self.keep_usage(), replays);
        let is_done = self.reactor.timeout(limit, files).await.is_some();
        if !is_done {
            warn!(
                "--data-dir has not taken the last files in {limit:?}: is its disk busy or gone? \
                 The next run begins with those of earlier"
            );
        }
        is_done
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }

    fn render_metrics(&self) -> String {
        let (metrics, buffers) = (&self.metrics, &self.buffers);
        metrics.buffers_used.set(buffers.used_bytes() as u64);
        metrics.buffers_total.set(buffers.total_bytes() as u64);
        let claims = buffers.claims();
        metrics.buffers_claimed.set(claims.bytes as u64);
        metrics.buffer_holders.set(claims.holders as u64);
        metrics.buffer_waiters.set(claims.waiters as u64);
        metrics.log_lines_lost.set(log::lost());
        metrics.uptime.set(self.reactor.now() - self.started);
        let mut text = String::new();
        self.metrics.render(&mut text);
        text
    }

    /// A second signal does not wait.
    async fn stop(&self) {
        self.ports.close();
        let data_lock = self.data_lock.clone();
        self.spawn(unblock(move || data_lock.end_soon()));
        let handshakes = self.handshakes();
        // Who stops us may not wait for the clients before he kills us: what is to be
        // kept is written meanwhile.
        let first = async {
            let left = self.leave_files(LAST_WRITES, true);
            Some(smol::future::zip(self.drain(), left).await.1)
        };
        let impatient = async {
            self.signals.stop().await;
            None
        };
        let is_kept = smol::future::or(first, impatient).await;
        if let Some(back) = &self.back {
            back.close().await;
        }
        if let Some(front) = &self.front {
            front.close();
        }
        if let Some(telegram) = &self.telegram {
            telegram.close();
        }
        let last = async {
            let with_replays = is_kept.is_none() || self.handshakes() != handshakes;
            if is_kept != Some(false) {
                self.leave_files(LATE_WRITES, with_replays).await;
            }
            #[cfg(feature = "ctl")]
            self.reactor
                .timeout(LATE_WRITES, control::remove(self))
                .await;
        };
        smol::future::or(last, self.signals.stop()).await;
    }

    /// Those that may have proven a secret.
    fn handshakes(&self) -> u64 {
        let handshakes = &self.metrics.handshakes;
        let proven = [HandshakeOutcome::Accepted, HandshakeOutcome::Rejected];
        proven.map(|outcome| handshakes.get(outcome)).iter().sum()
    }

    async fn drain(&self) {
        if let Some(clients) = &self.clients {
            let count = clients.connections();
            match count {
                0 => info!("stopping"),
                1 => info!("stopping: one client gets {DRAIN:?} to finish"),
                _ => info!("stopping: {count} clients get {DRAIN:?} to finish"),
            }
            clients.drain(DRAIN).await;
        }
    }
}

pub(super) fn link_role(config: &Config) -> LinkRole {
    match config.process.role {
        Role::Back => LinkRole::Back,
        Role::Both | Role::Front => LinkRole::Front,
    }
}

fn bind_metrics(reactor: &Rc<Reactor>, config: &Config) -> Result<Option<Listener>, RunError> {
    let bind = |address| {
        let listener = Listener::bind(reactor, address);
        listener.map_err(|error| RunError::Metrics(address, error))
    };
    config.process.metrics.map(bind).transpose()
}
