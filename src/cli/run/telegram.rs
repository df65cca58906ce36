use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::error::RunError;
use super::part::{Change, Doing, Part, Phase, Report};
#[cfg(feature = "tls")]
use super::part::{Files, Takeover};
use crate::backend::Backend;
use crate::config::RouteName;
use crate::connection::Dialer;
use crate::log::Throttle;
#[cfg(feature = "tls")]
use crate::telegram::Authorities;
use crate::telegram::directory::{Directory, PublicAddress};
use crate::telegram::{Fared, Patience, Shared, Telegram};
use crate::wire::dc::DcId;

/// Between repeated lines about DCs that cannot be reached.
const COMPLAINTS: Duration = Duration::from_secs(10);

/// Connections to Telegram, and its lists; not on a front.
pub(super) struct TelegramPart {
    directory: Rc<Directory>,
    telegram: Rc<Telegram>,
}

impl TelegramPart {
    /// Reads the lists, and whom to believe; blocks.
    pub(crate) fn new(core: &Core, address: &Rc<PublicAddress>) -> Result<Rc<Self>, RunError> {
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
            #[cfg(feature = "check")]
            told: None,
        }));
        #[cfg(feature = "tls")]
        {
            let authorities = config.with(Authorities::read);
            telegram.believe(authorities.map_err(RunError::Authorities)?);
        }
        Ok(Rc::new(Self {
            directory,
            telegram,
        }))
    }

    pub(crate) fn backend(&self) -> Rc<dyn Backend> {
        self.telegram.clone()
    }

    /// How a route to a DC fares.
    pub(crate) async fn ask(&self, dc: DcId, route: RouteName) -> Fared {
        self.telegram.ask(dc, route).await
    }

    #[cfg(feature = "ctl")]
    pub(crate) fn telegram(&self) -> &Rc<Telegram> {
        &self.telegram
    }
}

impl Part for TelegramPart {
    fn start(self: Rc<Self>, core: &Core) {
        self.telegram.warm_up();
        let (directory, reactor) = (self.directory.clone(), core.reactor.clone());
        core.spawn(async move { directory.run(&reactor).await });
    }

    #[cfg(feature = "tls")]
    fn prepare<'a>(
        &'a self,
        _: &Change,
        files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        let authorities = files.authorities.take();
        Ok(Some(Box::new(move |_, report| {
            if self.telegram.believe(authorities) {
                report.told.push("other authorities of --ws-ca".to_owned());
            }
        })))
    }

    fn reconfigure(&self, _: &Change, _: &mut Report<'_>) {
        self.telegram.warm_up();
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        if phase == Phase::End {
            self.telegram.close();
        }
        None
    }
}
