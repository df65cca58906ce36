use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use super::settings::Settings;
use crate::config::{Config, DataDir};
use crate::log;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Reactor, Scratch};
use crate::wire::transport::MAX_PACKET;

/// What all parts of the running server share.
pub(super) struct Core {
    pub executor: Rc<Executor>,
    pub reactor: Rc<Reactor>,
    pub metrics: Rc<Metrics>,
    pub buffers: Rc<BufferPool>,
    pub scratch: Rc<Scratch>,
    config: RefCell<Rc<Config>>,
    /// What each room goes by of it.
    pub settings: Settings,
}

impl Core {
    pub fn new(reactor: &Rc<Reactor>, config: Rc<Config>) -> Rc<Self> {
        Rc::new(Self {
            executor: Rc::default(),
            reactor: reactor.clone(),
            metrics: Rc::default(),
            buffers: BufferPool::with_room_for(reactor.clock(), MAX_PACKET, config.process.buffers),
            scratch: Rc::default(),
            settings: Settings::new(&config),
            config: RefCell::new(config),
        })
    }

    /// The one that is in force.
    pub fn config(&self) -> Rc<Config> {
        self.config.borrow().clone()
    }

    /// From now on this one is, for all who look it up.
    pub fn take_over(&self, config: &Rc<Config>) {
        log::set_level(config.process.log_level);
        self.settings.take(config);
        self.config.replace(config.clone());
    }

    pub fn data_dir(&self) -> DataDir {
        DataDir::new(&self.config.borrow().process.data_dir)
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }
}
