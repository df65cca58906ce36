use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::clients::ClientPart;
#[cfg(feature = "ctl")]
use super::control::Control;
use super::core::Core;
use super::error::RunError;
use super::gate::GatePart;
use super::link::LinkPart;
use super::metrics_page::MetricsPage;
use super::part::{Background, Doing, Part, Step};
use super::ports::{Ports, Taker};
use super::privileges;
use super::reload::reload;
use super::replays::ReplayFiles;
use super::signals::{Hangups, Signals};
use super::telegram::TelegramPart;
use super::usage::{self, UsageFile};
use super::welcome;
use crate::config::{Config, ConfigSource, DataLock, Role};
use crate::guard::gate::Gate;
use crate::net::{Executor, Reactor, unblock};
use crate::telegram::directory::PublicAddress;

/// How long a disk gets for the last state.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The same for what clients that were let finish have added to it.
const LATE_WRITES: Duration = Duration::from_secs(2);

/// Everything that runs.
pub(super) struct Server {
    core: Rc<Core>,
    /// In the order in which they start and reload, and the other way round stop.
    parts: Vec<Rc<dyn Part>>,
    gate: Rc<Gate>,
    signals: Signals,
    data_lock: DataLock,
}

impl Server {
    /// Takes all that the config wants of the system, and gives root up.
    pub fn new(
        reactor: &Rc<Reactor>,
        source: &ConfigSource,
        config: &Rc<Config>,
        hangups: Hangups,
    ) -> Result<Self, RunError> {
        let (data_dir, role) = (&config.process.data_dir, config.process.role);
        let data_lock = DataLock::take(data_dir)
            .map_err(|in_use| RunError::DataDir(data_dir.clone(), in_use))?;
        // Until the process is gone: a thread may still write.
        std::mem::forget(data_lock.clone());
        let core = Core::new(reactor, config.clone());
        let used = usage::left_in(&core.data_dir());
        let address = PublicAddress::new(core.settings.address.clone(), role);
        let telegram = (role != Role::Front).then(|| TelegramPart::new(&core, &address));
        let to_telegram = telegram.as_ref().map(|telegram| telegram.backend());
        let (link, backend) = match role {
            Role::Both => (None, to_telegram),
            Role::Front | Role::Back => {
                let link = LinkPart::new(&core, to_telegram)?;
                let backend = link.backend();
                (Some(link), backend)
            }
        };
        let gate_part = GatePart::new(&core, &used)?;
        let gate = gate_part.gate().clone();
        let replays = ReplayFiles::restore(&core, &gate, &data_lock);
        let clients = backend.map(|backend| ClientPart::new(&core, backend, &gate, &address));
        let page = MetricsPage::bind(&core)?;
        let signals = Signals::new(reactor, hangups).map_err(RunError::System)?;
        let takes_clients = clients
            .as_ref()
            .map(|clients| Taker::Clients(clients.context().clone()));
        let takes_links = || link.as_ref()?.back().cloned().map(Taker::Back);
        let taker = takes_clients.or_else(takes_links);
        let ports = taker.map(|taker| Ports::open(&core, taker)).transpose()?;
        #[cfg(feature = "ctl")]
        let control = Control::bind(&core, &gate);
        if let Some(user) = &config.process.user {
            #[cfg(feature = "ctl")]
            let socket = control.as_ref().map(|control| control.path());
            #[cfg(not(feature = "ctl"))]
            let socket = None;
            let sockets = ports.iter().flat_map(|ports| ports.all_sockets());
            let sockets: Vec<_> = sockets.collect();
            privileges::give_up(user, data_dir, socket, &sockets).map_err(RunError::User)?;
        }
        let mut parts: Vec<Rc<dyn Part>> = Vec::new();
        parts.extend(telegram.map(as_part));
        parts.push(Background::new({
            let (address, reactor) = (address.clone(), reactor.clone());
            async move { address.run(&reactor).await }
        }));
        parts.push(gate_part);
        parts.push(replays);
        parts.extend(link.map(as_part));
        parts.extend(ports.map(as_part));
        parts.extend(clients.clone().map(as_part));
        parts.push(Background::new({
            let (buffers, reactor) = (core.buffers.clone(), reactor.clone());
            async move { buffers.keep_fair(&reactor).await }
        }));
        parts.push(UsageFile::new(&core, &gate, used));
        parts.extend(page.map(as_part));
        #[cfg(feature = "ctl")]
        parts.extend(control.map(as_part));
        if let Some(clients) = clients.filter(|_| !source.has_file()) {
            let command = welcome::command(source, data_dir);
            let (core, sites) = (core.clone(), clients.sites().clone());
            let shown = welcome::show(core, address, sites, command);
            parts.push(Background::new(shown));
        }
        Ok(Self {
            core,
            parts,
            gate,
            signals,
            data_lock,
        })
    }

    pub fn executor(&self) -> &Rc<Executor> {
        &self.core.executor
    }

    /// Serves until a signal says stop, then lets clients finish.
    pub async fn serve(&self, source: &ConfigSource) {
        self.announce();
        for part in &self.parts {
            part.clone().start(&self.core);
        }
        let reloading = async {
            loop {
                self.signals.reload().await;
                reload(&self.core, &self.gate, &self.parts, source).await;
            }
        };
        smol::future::or(self.signals.stop(), reloading).await;
        self.stop().await;
    }

    fn announce(&self) {
        let config = self.core.config();
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

    /// A second signal does not wait.
    async fn stop(&self) {
        self.take(Step::Close).await;
        let data_lock = self.data_lock.clone();
        self.core.spawn(unblock(move || data_lock.end_soon()));
        // Who stops us may not wait for the clients before he kills us: what is to be
        // kept is written meanwhile.
        let first = async {
            let saved = self.save(LAST_WRITES);
            Some(smol::future::zip(self.take(Step::Drain), saved).await.1)
        };
        let impatient = async {
            self.signals.stop().await;
            None
        };
        let is_saved = smol::future::or(first, impatient).await;
        self.take(Step::End).await;
        let last = async {
            if is_saved != Some(false) {
                self.save(LATE_WRITES).await;
            }
            self.take(Step::Leave).await;
        };
        smol::future::or(last, self.signals.stop()).await;
    }

    /// One part after the other: whoever began later uses those before it.
    async fn take(&self, step: Step) {
        for part in self.parts.iter().rev() {
            if let Some(doing) = part.stop(step) {
                doing.await;
            }
        }
    }

    /// Writes what outlives the run; whether a disk took it within `limit`.
    async fn save(&self, limit: Duration) -> bool {
        let saving = self.parts.iter().filter_map(|part| part.stop(Step::Save));
        let mut saving: Vec<Doing<'_>> = saving.collect();
        let saved = poll_fn(|cx| {
            saving.retain_mut(|one| one.as_mut().poll(cx).is_pending());
            match saving.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let is_done = self.core.reactor.timeout(limit, saved).await.is_some();
        if !is_done {
            warn!(
                "--data-dir has not taken the last files in {limit:?}: is its disk busy or gone? \
                 The next run begins with those of earlier"
            );
        }
        is_done
    }
}

fn as_part<P: Part + 'static>(part: Rc<P>) -> Rc<dyn Part> {
    part
}
