use std::time::Duration;

use super::Sites;
use crate::metrics::ProbeOutcome;
use crate::wire::secret::Domain;

/// A domain of fake TLS, with its site, as the operator sees it.
pub(crate) struct ShownSite {
    pub(crate) domain: Domain,
    /// Where its site is; nothing where strangers are shown none.
    pub(crate) place: Option<String>,
    /// How asking it went last, and how long ago.
    pub(crate) asked: Option<(ProbeOutcome, Duration)>,
    /// Our answers look like its own.
    pub(crate) has_model: bool,
}

impl Sites {
    pub(crate) fn shown(&self) -> Vec<ShownSite> {
        let (config, models, now) = (self.config.get(), self.models.borrow(), self.reactor.now());
        let shown = config.domains.iter().map(|domain| {
            let place = config.place_for(Some(domain));
            let model = models.iter().find(|model| model.domain == *domain);
            let asked = model.and_then(|model| model.probed);
            ShownSite {
                domain: domain.clone(),
                place: place.map(|place| place.to_string()),
                asked: asked.map(|(outcome, at)| (outcome, now.saturating_duration_since(at))),
                has_model: self.profile(domain).is_some(),
            }
        });
        shown.collect()
    }
}
