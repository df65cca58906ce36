use std::rc::Rc;
#[cfg(feature = "tls")]
use std::time::Duration;

use super::core::Core;
use super::error::RunError;
use super::part::{Change, Doing, Files, Part, Phase, Takeover};
use crate::backend::Backend;
use crate::config::{Config, Role};
use crate::link::{Back, Front, LinkContext, Security, Silence};
use crate::wire::link::LinkSide;

/// Certificates end on a day.
#[cfg(feature = "tls")]
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// This machine's side of the links.
pub(super) enum LinkPart {
    Front(Rc<Front>),
    Back(Rc<Back>),
}

impl LinkPart {
    /// A back for who has `telegram`, else a front. Reads certificates; blocks.
    pub(crate) fn new(
        core: &Core,
        telegram: Option<Rc<dyn Backend>>,
    ) -> Result<Rc<Self>, RunError> {
        let config = core.config();
        let security = Security::load(&config.link, link_side(&config));
        let security = security.map_err(RunError::Link)?;
        let context = LinkContext {
            reactor: core.reactor.clone(),
            executor: core.executor.clone(),
            buffers: core.buffers.clone(),
            scratch: core.scratch.clone(),
            metrics: core.metrics.clone(),
            silence: Silence::default(),
            places: config.link.places,
        };
        let live = core.settings.link.clone();
        Ok(Rc::new(match telegram {
            Some(telegram) => Self::Back(Back::new(context, security, telegram)),
            None => Self::Front(Front::new(context, security, live)),
        }))
    }

    /// For clients here, on a front.
    pub(crate) fn backend(&self) -> Option<Rc<dyn Backend>> {
        match self {
            Self::Front(front) => Some(front.clone()),
            Self::Back(_) => None,
        }
    }

    pub(crate) fn back(&self) -> Option<&Rc<Back>> {
        match self {
            Self::Front(_) => None,
            Self::Back(back) => Some(back),
        }
    }

    fn security(&self) -> Rc<Security> {
        match self {
            Self::Front(front) => front.security(),
            Self::Back(back) => back.security(),
        }
    }

    /// Which certificates end soon or cannot be used, and what to do.
    #[cfg(feature = "tls")]
    fn tell_concerns(&self) {
        for concern in self.security().concerns() {
            warn!("{concern}");
        }
    }
}

impl Part for LinkPart {
    fn start(self: Rc<Self>, core: &Core) {
        if let Self::Front(front) = &*self {
            core.spawn(front.clone().run());
        }
        #[cfg(feature = "tls")]
        {
            let reactor = core.reactor.clone();
            core.spawn(async move {
                loop {
                    self.tell_concerns();
                    reactor.sleep(EVERY).await;
                }
            });
        }
    }

    fn prepare<'a>(
        &'a self,
        _: &Change,
        files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        let Some(files) = files.link.take() else {
            return Ok(None);
        };
        Ok(Some(Box::new(move |_, report| {
            report.told.extend(files.news(&self.security()));
            match self {
                Self::Front(front) => front.reconfigure(files.into()),
                Self::Back(back) => back.reconfigure(files.into()),
            }
            #[cfg(feature = "tls")]
            self.tell_concerns();
        })))
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        match (phase, self) {
            (Phase::End, Self::Back(back)) => Some(Box::pin(back.close())),
            (Phase::End, Self::Front(front)) => {
                front.close();
                None
            }
            _ => None,
        }
    }
}

pub(super) fn link_side(config: &Config) -> LinkSide {
    match config.process.role {
        Role::Back => LinkSide::Back,
        Role::Both | Role::Front => LinkSide::Front,
    }
}
