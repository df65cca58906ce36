use std::mem::take;
use std::rc::Rc;

use super::core::Core;
use super::error::RunError;
use super::part::{Change, Files, Part, Report, Takeover};
use crate::config::GuardConfig;
use crate::guard::gate::Gate;
use crate::net::unblock;

/// Who may come in: tables, policies, limits.
pub(super) struct GatePart(Rc<Gate>);

impl GatePart {
    /// `used` is what an earlier run left of quotas. Reads the tables; blocks.
    pub(crate) fn new(core: &Core, used: &str) -> Result<Rc<Self>, RunError> {
        let config = core.config();
        let gate = Gate::new(
            &config.guard,
            config.doors.limits(),
            used,
            core.reactor.now(),
        );
        let part = Self(gate.map_err(RunError::Gate)?);
        part.tell_barriers(&config.guard);
        Ok(Rc::new(part))
    }

    pub(crate) fn gate(&self) -> &Rc<Gate> {
        &self.0
    }

    fn tell_barriers(&self, guard: &GuardConfig) {
        for barrier in self.0.barriers(&guard.policies) {
            warn!("{barrier}");
        }
    }
}

impl Part for GatePart {
    fn prepare<'a>(
        &'a self,
        change: &Change,
        files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        let rules = self.0.prepare(&change.new.guard, take(&mut files.tables));
        let rules = rules.map_err(|error| error.to_string())?;
        let told = take(&mut files.table_news);
        Ok(Some(Box::new(move |change, report| {
            let (guard, limits) = (&change.new.guard, change.new.doors.limits());
            let renamed = &change.differences.renamed;
            let replaced = self.0.reconfigure(guard, rules, renamed, limits);
            self.tell_barriers(guard);
            report.told.extend(told);
            let freeing = unblock(move || drop(replaced));
            report.later.push(Box::pin(freeing));
        })))
    }

    fn take_secrets(&self, change: &Change, _: &mut Report<'_>) {
        let renamed = &change.differences.renamed;
        self.0.take_secrets(renamed, change.new.doors.limits());
    }
}
