//! By what a listener takes its clients. A reload replaces it as a whole, also under
//! those who are in their handshake.

use std::ops::Deref;
use std::rc::Rc;

use crate::config::{Allow, DoorConfig, ListenerConfig, NamedSecret, RouteChoice, SniSalt};
use crate::net::Live;
use crate::wire::secret::{AdTag, Domain};

/// Whom a listener lets in, and where its clients go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// The listener's name in the log.
    pub(crate) name: String,
    pub(crate) secrets: Vec<NamedSecret>,
    pub(crate) tag: Option<AdTag>,
    pub(crate) allow: Allow,
    /// Names that a fake-TLS hello may ask for; empty: any.
    pub(crate) tls_domains: Vec<Domain>,
    /// Fake-TLS secrets are derived for the name with this.
    pub(crate) sni_salt: Option<SniSalt>,
    pub(crate) route: RouteChoice,
}

impl Rules {
    /// The rules of one listener of `doors`.
    pub(crate) fn new(doors: &DoorConfig, listener: &ListenerConfig) -> Self {
        Self {
            name: listener.name.clone(),
            secrets: listener.secrets.clone(),
            tag: listener.tag,
            allow: doors.allow,
            tls_domains: doors.tls_domains.clone(),
            sni_salt: doors.sni_salt.clone(),
            route: doors.route,
        }
    }
}

/// The rules that were there when a client came. It goes by these to the end of its
/// handshake, and is told then what has become of them.
pub(super) struct RulesAtArrival {
    then: Rc<Rules>,
    latest: Live<Rules>,
}

impl RulesAtArrival {
    pub(crate) fn new(of_listener: Live<Rules>) -> Self {
        Self {
            then: of_listener.get(),
            latest: of_listener,
        }
    }

    /// What the listener goes by at this moment, if that is something else. A
    /// listener that was closed goes by what it was left with.
    pub(crate) fn replaced_by(&self) -> Option<Rc<Rules>> {
        let is_past = self.latest.is_past(&self.then);
        is_past.then(|| self.latest.get())
    }
}

impl Deref for RulesAtArrival {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.then
    }
}
