//! Our own TLS, which those meet who ask for a WEB host, and without `--fronting` all
//! others.

use std::cell::RefCell;

use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// How it answers.
#[derive(Default)]
pub(crate) struct OwnFace {
    /// By the names of hosts, of which the first is the default; `None`: not as ee clients
    /// could be answered.
    pub(crate) profiles: Vec<(Domain, Option<FlightProfile>)>,
}

/// What the sites know of it.
#[derive(Default)]
pub(super) struct Own(RefCell<OwnFace>);

impl Own {
    pub(crate) fn show(&self, face: OwnFace) {
        self.0.replace(face);
    }

    /// How it answers hellos for `domain`, if that is one of its hosts, or any name is.
    pub(crate) fn profile(&self, domain: &Domain, is_only: bool) -> Option<FlightProfile> {
        let face = self.0.borrow();
        let own = face.profiles.iter().find(|(name, _)| name == domain);
        let (_, profile) = own.or_else(|| face.profiles.first().filter(|_| is_only))?;
        profile.clone()
    }
}
