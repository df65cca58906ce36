use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;

use super::signals::Signals;
use super::usage::UsageFile;
use super::{RunError, control};
use crate::cli::exposition;
use crate::client::{
    self, ClientContext, Limits, ListenerHandle, Parts, Rules, SiteSettings, Sites,
};
use crate::config::{Config, ConfigSource, ListenerConfig};
use crate::guard::gate::Gate;
use crate::log::Throttle;
use crate::metrics::Metrics;
use crate::net::{self, BufferPool, Listener, PipePool, Reactor, Scratch};
use crate::telegram::directory::{Directory, PublicAddress};
use crate::telegram::{Settings, Shared, Telegram};

/// Pipes for splice(2): two descriptors and up to 256 KiB of kernel memory
/// each while a slow client's bytes wait in them.
const PIPES: usize = 32;

/// How long clients get to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(3);

/// Between repeated lines about DCs that cannot be reached.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// Everything that runs.
pub(super) struct Server {
    pub(super) executor: Rc<LocalExecutor<'static>>,
    pub(super) reactor: Rc<Reactor>,
    pub(super) metrics: Rc<Metrics>,
    pub(super) telegram: Rc<Telegram>,
    pub(super) shared: Rc<Shared>,
    pub(super) clients: Rc<ClientContext>,
    pub(super) sites: Rc<Sites>,
    pub(super) listeners: RefCell<Vec<(SocketAddr, ListenerHandle)>>,
    pub(super) config: RefCell<Config>,
    pub(super) gate: Rc<Gate>,
    pub(super) usage: UsageFile,
    scrapes: Cell<Option<Listener>>,
    control: Cell<Option<Listener>>,
    signals: Signals,
}

impl Server {
    pub fn new(reactor: &Rc<Reactor>, config: Config) -> Result<Rc<Self>, RunError> {
        let executor: Rc<LocalExecutor<'static>> = Rc::new(LocalExecutor::new());
        let metrics = Rc::new(Metrics::default());
        let buffers = BufferPool::new(config.buffers);
        let scratch = Rc::new(Scratch::default());
        let shared = Rc::new(Shared {
            reactor: reactor.clone(),
            executor: executor.clone(),
            buffers: buffers.clone(),
            scratch: scratch.clone(),
            directory: Directory::new(&config, &metrics),
            address: PublicAddress::new(config.external_ip),
            metrics: metrics.clone(),
            settings: Cell::new(settings(&config)),
            complaints: Throttle::new(COMPLAINTS),
        });
        let telegram = Telegram::new(shared.clone());
        let (usage, used) = UsageFile::read(&config.data_dir);
        let gate = Gate::new(&config.guard, config.limits(), &used, reactor.now());
        let gate = gate.map_err(RunError::Gate)?;
        let address = shared.address.clone();
        let public_ip = move || address.known();
        let sites = Sites::new(
            reactor,
            &executor,
            &metrics,
            SiteSettings::from(&config),
            public_ip,
        );
        let clients = ClientContext::new(Parts {
            reactor: reactor.clone(),
            executor: executor.clone(),
            buffers,
            scratch,
            pipes: PipePool::new(PIPES),
            backend: telegram.clone(),
            gate: gate.clone(),
            metrics: metrics.clone(),
            sites: sites.clone(),
            limits: Limits::from(&config),
        });
        let server = Rc::new(Self {
            gate,
            usage,
            scrapes: Cell::new(bind_metrics(reactor, &config)?),
            control: Cell::default(),
            signals: Signals::new(reactor).map_err(RunError::System)?,
            executor,
            reactor: reactor.clone(),
            metrics,
            telegram,
            shared,
            clients,
            sites,
            listeners: RefCell::default(),
            config: RefCell::new(config),
        });
        server.listen_all()?;
        let control = bind_control(reactor, &server.config.borrow());
        server.control.set(control);
        Ok(server)
    }

    /// Serves until a signal says stop, then lets clients finish.
    pub async fn serve(self: Rc<Self>, source: &ConfigSource) {
        self.announce();
        self.start_background();
        let reloading = async {
            loop {
                self.signals.reload().await;
                self.reload(source);
            }
        };
        smol::future::or(self.signals.stop(), reloading).await;
        self.stop().await;
    }

    fn listen_all(&self) -> Result<(), RunError> {
        let config = self.config.borrow();
        for listener in &config.listeners {
            if let Err(error) = self.listen(&config, listener) {
                return Err(RunError::Listen(listener.addr, error));
            }
        }
        Ok(())
    }

    pub(super) fn listen(&self, config: &Config, listener: &ListenerConfig) -> io::Result<()> {
        match client::listen(&self.clients, listener.addr, Rules::new(config, listener)) {
            Ok(handle) => {
                let address = handle.address();
                info!("listening on {address}");
                self.listeners.borrow_mut().push((listener.addr, handle));
                Ok(())
            }
            Err(error) if listener.optional && error.kind() != io::ErrorKind::AddrInUse => {
                debug!("no IPv6 here: {} is left out ({error})", listener.addr);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn announce(&self) {
        let config = self.config.borrow();
        for note in &config.notes {
            info!("{note}");
        }
        info!(
            "smol-mtproxy {}: at most {} clients, {} KiB of buffers",
            env!("CARGO_PKG_VERSION"),
            config.max_clients,
            config.buffers / 1024
        );
    }

    fn start_background(self: &Rc<Self>) {
        self.telegram.warm_up();
        let shared = self.shared.clone();
        self.spawn(async move { shared.directory.clone().run(&shared.reactor).await });
        let shared = self.shared.clone();
        self.spawn(async move { shared.address.clone().run(&shared.reactor).await });
        let clients = self.clients.clone();
        self.spawn(async move { clients.enforce_limits().await });
        let server = self.clone();
        self.spawn(async move { server.keep_usage_for_ever().await });
        if let Some(listener) = self.control.take() {
            self.spawn(control::serve(self.clone(), listener));
        }
        self.spawn(self.sites.clone().run());
        if let Some(listener) = self.scrapes.take() {
            let server = self.clone();
            self.spawn(exposition::serve(
                self.reactor.clone(),
                listener,
                move || server.render_metrics(),
            ));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        net::spawn(&self.executor, task).detach();
    }

    fn render_metrics(&self) -> String {
        let buffers = &self.shared.buffers;
        self.metrics.buffers_used.set(buffers.used_bytes() as u64);
        self.metrics.buffers_total.set(buffers.total_bytes() as u64);
        let mut text = String::new();
        self.metrics.render(&mut text);
        text
    }

    /// A second signal does not wait.
    async fn stop(&self) {
        self.listeners.borrow_mut().clear();
        let clients = self.clients.connections();
        match clients {
            0 => info!("stopping"),
            1 => info!("stopping: one client gets {DRAIN:?} to finish"),
            _ => info!("stopping: {clients} clients get {DRAIN:?} to finish"),
        }
        let draining = async {
            self.clients.drain(DRAIN).await;
        };
        smol::future::or(draining, self.signals.stop()).await;
        self.telegram.close();
        self.keep_usage();
        // After --user it may not be ours to remove; the next run does.
        let _ = std::fs::remove_file(&self.config.borrow().control);
    }
}

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        dc_connections: config.dc_connections,
        clients_per_connection: config.clients_per_connection,
    }
}

/// The proxy does without, if it must.
fn bind_control(reactor: &Rc<Reactor>, config: &Config) -> Option<Listener> {
    let path = &config.control;
    match control::bind(reactor, path) {
        Ok(listener) => Some(listener),
        Err(error) => {
            let path = path.display();
            warn!("no socket for ctl at {path}: {error}; choose another with --control");
            None
        }
    }
}

fn bind_metrics(reactor: &Rc<Reactor>, config: &Config) -> Result<Option<Listener>, RunError> {
    let bind = |address| {
        let listener = Listener::bind(reactor, address);
        listener.map_err(|error| RunError::Metrics(address, error))
    };
    config.metrics.map(bind).transpose()
}
