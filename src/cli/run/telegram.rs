use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::part::{Change, Doing, Part, Phase, Report};
use crate::backend::Backend;
use crate::connection::Dialer;
use crate::log::Throttle;
use crate::telegram::directory::{Directory, PublicAddress};
use crate::telegram::{Patience, Shared, Telegram};

/// Between repeated lines about DCs that cannot be reached.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// Connections to Telegram, and its lists; not on a front.
pub(super) struct TelegramPart {
    directory: Rc<Directory>,
    telegram: Rc<Telegram>,
}

impl TelegramPart {
    /// Reads the lists; blocks.
    pub(crate) fn new(core: &Core, address: &Rc<PublicAddress>) -> Rc<Self> {
        let (config, data_dir) = (&core.settings.telegram, core.data_dir());
        let clock = core.reactor.clock();
        let directory = Directory::new(config.clone(), data_dir, &core.metrics, clock);
        let telegram = Telegram::new(Rc::new(Shared {
            reactor: core.reactor.clone(),
            executor: core.executor.clone(),
            buffers: core.buffers.clone(),
            scratch: core.scratch.clone(),
            directory: directory.clone(),
            address: address.clone(),
            metrics: core.metrics.clone(),
            config: config.clone(),
            dialer: Dialer::new(&core.reactor, &core.executor, config.clone()),
            patience: Patience::default(),
            complaints: Throttle::new(COMPLAINTS),
        }));
        Rc::new(Self {
            directory,
            telegram,
        })
    }

    pub(crate) fn backend(&self) -> Rc<dyn Backend> {
        self.telegram.clone()
    }

    /// What `ctl routes` is told.
    #[cfg(feature = "ctl")]
    pub(crate) fn routes(&self) -> Vec<String> {
        self.telegram.routes()
    }
}

impl Part for TelegramPart {
    fn start(self: Rc<Self>, core: &Core) {
        self.telegram.warm_up();
        let (directory, reactor) = (self.directory.clone(), core.reactor.clone());
        core.spawn(async move { directory.run(&reactor).await });
    }

    fn reconfigure(&self, _: &Change, _: &mut Report<'_>) {
        self.telegram.reconfigured();
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        if phase == Phase::End {
            self.telegram.close();
        }
        None
    }
}
