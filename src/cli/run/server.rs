use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

#[cfg(feature = "ctl")]
use super::control::{self, ControlSocket};
use super::core::Core;
use super::error::RunError;
use super::metrics_page::MetricsPage;
use super::part::{Background, Doing, Part, Phase, as_part};
use super::ports::Ports;
use super::privileges;
use super::reload::reload;
use super::rooms::Rooms;
use super::self_test::SelfTest;
use super::signals::{Hangups, Signals};
#[cfg(feature = "ctl")]
use super::users::Desk;
use super::users::{self, Turn};
use super::welcome;
use crate::config::{Config, ConfigSource, DataLock, Role};
use crate::guard::gate::Gate;
use crate::net::{Executor, Reactor, unblock};

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
    #[cfg(feature = "ctl")]
    users: Rc<Desk>,
    signals: Signals,
    data_lock: DataLock,
}

impl Server {
    /// Takes all that the config wants of the system, and gives root up.
    pub(crate) fn new(
        reactor: &Rc<Reactor>,
        source: &ConfigSource,
        config: &Rc<Config>,
        hangups: Hangups,
    ) -> Result<Self, RunError> {
        let data_dir = &config.process.data_dir;
        let data_lock = DataLock::take(data_dir)
            .map_err(|in_use| RunError::DataDir(data_dir.clone(), in_use))?;
        // Until the process is gone: a thread may still write.
        std::mem::forget(data_lock.clone());
        let core = Core::new(reactor, config.clone());
        let rooms = Rooms::new(&core, &data_lock)?;
        let gate = rooms.gate().clone();
        #[cfg(feature = "ctl")]
        let users = Desk::new(&core, &gate, rooms.address());
        #[cfg(feature = "ctl")]
        let control = control::control(&core, &rooms, &users);
        let page = MetricsPage::bind(
            &core,
            &rooms,
            #[cfg(feature = "ctl")]
            &control,
        )?;
        let signals = Signals::new(reactor, hangups).map_err(RunError::System)?;
        let ports = rooms
            .behind_ports()
            .map(|behind| Ports::open(&core, behind));
        let ports = ports.transpose()?;
        #[cfg(feature = "ctl")]
        let socket = ControlSocket::bind(&core, &control);
        if let Some(user) = &config.process.user {
            #[cfg(feature = "ctl")]
            let path = socket.as_ref().map(|socket| socket.path());
            #[cfg(not(feature = "ctl"))]
            let path = None;
            let sockets = ports.iter().flat_map(|ports| ports.all_sockets());
            let sockets: Vec<_> = sockets.collect();
            privileges::give_up(user, data_dir, path, &sockets).map_err(RunError::User)?;
        }
        let welcome = welcome_in(&core, &rooms, source);
        let self_test = SelfTest::new(&core, &rooms);
        let mut parts = rooms.into_parts(&core);
        parts.extend(ports.map(as_part));
        let (buffers, of_buffers) = (core.buffers.clone(), reactor.clone());
        parts.push(Background::new(async move {
            buffers.keep_fair(&of_buffers).await
        }));
        parts.extend(page.map(as_part));
        #[cfg(feature = "ctl")]
        parts.push(Background::new(async move { control.run().await }));
        #[cfg(feature = "ctl")]
        parts.extend(socket.map(as_part));
        parts.extend(welcome.map(as_part));
        parts.extend(self_test.map(|test| as_part(Background::new(test.run()))));
        Ok(Self {
            core,
            parts,
            gate,
            #[cfg(feature = "ctl")]
            users,
            signals,
            data_lock,
        })
    }

    pub(crate) fn executor(&self) -> &Rc<Executor> {
        &self.core.executor
    }

    /// Serves until a signal says stop, then lets clients finish.
    pub(crate) async fn serve(&self, source: &ConfigSource) {
        self.announce();
        for part in &self.parts {
            part.clone().start(&self.core);
        }
        let reloading = async {
            loop {
                self.change_once(source).await;
            }
        };
        smol::future::or(self.signals.stop(), reloading).await;
        self.stop().await;
    }

    /// Waits for whatever makes the config another one, and takes that over.
    async fn change_once(&self, source: &ConfigSource) {
        let (core, parts) = (&self.core, &self.parts);
        let hangup = async {
            self.signals.reload().await;
            None
        };
        let old_ends = async { Some(users::old_ends(core).await) };
        let next = smol::future::or(hangup, old_ends);
        #[cfg(feature = "ctl")]
        let next = smol::future::or(next, async { Some(Turn::Wish(self.users.next().await)) });
        match next.await {
            None => reload(core, &self.gate, parts, source).await,
            #[cfg(feature = "ctl")]
            Some(Turn::Wish(wish)) => self.users.grant(wish, parts, source).await,
            Some(Turn::OldEnds) => users::end_old(core, parts, source).await,
        }
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
        self.go_through(Phase::Close).await;
        let data_lock = self.data_lock.clone();
        self.core.spawn(unblock(move || data_lock.end_soon()));
        // Who stops us may not wait for the clients before he kills us: what is to be
        // kept is written meanwhile.
        let first = async {
            let saved = self.save(LAST_WRITES);
            Some(
                smol::future::zip(self.go_through(Phase::Drain), saved)
                    .await
                    .1,
            )
        };
        let impatient = async {
            self.signals.stop().await;
            None
        };
        let is_saved = smol::future::or(first, impatient).await;
        self.go_through(Phase::End).await;
        let last = async {
            if is_saved != Some(false) {
                self.save(LATE_WRITES).await;
            }
            self.go_through(Phase::Leave).await;
        };
        smol::future::or(last, self.signals.stop()).await;
    }

    /// One part after the other: whoever began later uses those before it.
    async fn go_through(&self, phase: Phase) {
        for part in self.parts.iter().rev() {
            if let Some(doing) = part.stop(phase) {
                doing.await;
            }
        }
    }

    /// Writes what outlives the run; whether a disk took it within `limit`.
    async fn save(&self, limit: Duration) -> bool {
        let saving = self.parts.iter().filter_map(|part| part.stop(Phase::Save));
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
                "--data-dir has not taken the last files in {}s: is its disk busy or gone? The \
                 next run begins with those of earlier",
                limit.as_secs()
            );
        }
        is_done
    }
}

/// For a person at the keyboard, who gives no file.
fn welcome_in(core: &Rc<Core>, rooms: &Rooms, source: &ConfigSource) -> Option<Rc<Background>> {
    let clients = rooms.clients().filter(|_| !source.has_file())?;
    let command = welcome::command(source, &core.config().process.data_dir);
    let (address, sites) = (rooms.address().clone(), clients.sites().clone());
    let showing = welcome::show(core.clone(), address, sites, command);
    Some(Background::new(showing))
}
