use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use super::settings::Settings;
use crate::config::{Config, DataDir};
#[cfg(feature = "ctl")]
use crate::control::LastReload;
use crate::log;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Reactor, Scratch};
use crate::wire::transport::MAX_PACKET;

/// What all parts of the running server share.
pub(super) struct Core {
    pub(crate) executor: Rc<Executor>,
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    config: RefCell<Rc<Config>>,
    #[cfg(feature = "ctl")]
    pub(crate) last_reload: Rc<LastReload>,
    /// What each room goes by of it.
    pub(crate) settings: Settings,
}

impl Core {
    pub(crate) fn new(reactor: &Rc<Reactor>, config: Rc<Config>) -> Rc<Self> {
        Rc::new(Self {
            executor: Rc::default(),
            reactor: reactor.clone(),
            metrics: Rc::default(),
            buffers: BufferPool::with_room_for(reactor.clock(), MAX_PACKET, config.process.buffers),
            scratch: Rc::default(),
            settings: Settings::new(&config),
            config: RefCell::new(config),
            #[cfg(feature = "ctl")]
            last_reload: Rc::default(),
        })
    }

    /// The one that is in force.
    pub(crate) fn config(&self) -> Rc<Config> {
        self.config.borrow().clone()
    }

    /// From now on this one is, for all who look it up.
    pub(crate) fn take_over(&self, config: &Rc<Config>) {
        log::go_by(config.process.log);
        self.settings.take(config);
        self.config.replace(config.clone());
    }

    pub(crate) fn data_dir(&self) -> DataDir {
        DataDir::new(&self.config.borrow().process.data_dir)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}
