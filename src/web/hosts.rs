//! The hosts of the WEB proxy and who may come in there.

use std::rc::Rc;

use crate::client::Rules;
use crate::config::{DoorConfig, WebConfig, WebHost};
use crate::net::Live;
use crate::wire::secret::SecretForm;
use crate::wire::web::{BasePath, BridgeId, Capability, HostName, WebKey};

/// All of them, with what their pages are asked for with.
#[derive(Default)]
pub(super) struct Hosts(Vec<Rc<Host>>);

/// One name and path.
pub(super) struct Host {
    pub(crate) name: HostName,
    path: Option<BasePath>,
    /// Where its page is: `/`, or `/PATH/`.
    pub(crate) root: String,
    /// What its streams' clients go by.
    pub(crate) rules: Live<Rules>,
    capabilities: Vec<Capability>,
    bridges: Vec<Bridge>,
}

/// A secret's way in, with or without `dd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(crate) id: BridgeId,
    pub(crate) key: WebKey,
    /// The secret is a `dd` one: only padded clients have it.
    pub(crate) padded_only: bool,
}

/// Who came in, and where.
#[derive(Clone)]
pub(super) struct Access {
    pub(crate) host: Rc<Host>,
    pub(crate) bridge: Bridge,
}

impl Hosts {
    /// Of a config; what has been there already in `before` keeps its rules' handle.
    pub(crate) fn new(config: &WebConfig, doors: &DoorConfig, before: &Self) -> Self {
        let hosts = config.hosts.iter();
        Self(
            hosts
                .filter_map(|host| Host::new(host, doors, before))
                .map(Rc::new)
                .collect(),
        )
    }

    /// Those that a `Host` field names.
    pub(crate) fn named<'a>(&'a self, field: &'a [u8]) -> impl Iterator<Item = &'a Rc<Host>> {
        self.0.iter().filter(|host| host.name.is_host(field))
    }

    /// It is the capability of one of them.
    pub(crate) fn has(&self, capability: &Capability) -> bool {
        let all = self.0.iter().flat_map(|host| &host.capabilities);
        capability.find(all).is_some()
    }

    /// Who came in by this one, if it may still.
    pub(crate) fn access(&self, id: BridgeId) -> Option<Access> {
        self.0.iter().find_map(|host| {
            let bridge = host.bridges.iter().find(|bridge| bridge.id == id)?;
            Some(Access {
                host: host.clone(),
                bridge: *bridge,
            })
        })
    }
}

impl Host {
    /// `None`: its name is none that apps take, which the config has seen to.
    fn new(host: &WebHost, doors: &DoorConfig, before: &Hosts) -> Option<Self> {
        let name: HostName = host.name.as_str().parse().ok()?;
        let path = match &host.path {
            Some(path) => Some(path.as_str().parse::<BasePath>().ok()?),
            None => None,
        };
        let rules = rules(host, doors);
        let same = before.0.iter();
        let same = same.filter(|other| other.name == name && other.path == path);
        let handle = match same.map(|other| other.rules.clone()).next() {
            Some(handle) => {
                handle.set(rules);
                handle
            }
            None => Live::new(rules),
        };
        let (mut capabilities, mut bridges) = (Vec::new(), Vec::new());
        for named in &host.secrets {
            for key in WebKey::all_of(&named.secret) {
                let capability = Capability::of(&key, &name, path.as_ref());
                let id = BridgeId::of(&capability);
                if bridges.iter().any(|bridge: &Bridge| bridge.id == id) {
                    continue;
                }
                capabilities.push(capability);
                bridges.push(Bridge {
                    id,
                    key,
                    padded_only: named.secret.form == SecretForm::Padded,
                });
            }
        }
        let root = match &path {
            Some(path) => format!("/{path}/"),
            None => "/".to_owned(),
        };
        Some(Self {
            name,
            path,
            root,
            rules: handle,
            capabilities,
            bridges,
        })
    }

    /// Whose this capability is here.
    pub(crate) fn bridge(&self, capability: &Capability) -> Option<Bridge> {
        let at = capability.find(&self.capabilities)?;
        self.bridges.get(at).copied()
    }
}

/// As a listener's, with the host's name in the log. Streams hide in TLS, so `--allow`
/// is not about them.
fn rules(host: &WebHost, doors: &DoorConfig) -> Rules {
    Rules {
        name: host.name.to_string(),
        secrets: host.secrets.clone(),
        tag: doors.tag,
        allow: doors.allow,
        tls_domains: Vec::new(),
        sni_salt: None,
        route: doors.route,
    }
}
