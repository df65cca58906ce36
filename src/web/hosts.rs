//! The hosts of the WEB proxy and who may come in there.

use std::rc::Rc;

use crate::client::Rules;
use crate::config::{DoorConfig, WebConfig, WebHost};
use crate::net::Live;
use crate::wire::secret::SecretForm;
use crate::wire::web::{BasePath, BridgeId, Capability, HostName, Mint, WebKey};

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
    /// Their numbers of the [`Mint`].
    sifted: Vec<u32>,
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
    pub(crate) fn new(config: &WebConfig, doors: &DoorConfig, mint: &Mint, before: &Self) -> Self {
        let hosts = config.hosts.iter();
        Self(
            hosts
                .filter_map(|host| Host::new(host, doors, mint, before))
                .map(Rc::new)
                .collect(),
        )
    }

    /// Those that a `Host` field names.
    pub(crate) fn named<'a>(&'a self, field: &'a [u8]) -> impl Iterator<Item = &'a Rc<Host>> {
        self.0.iter().filter(|host| host.name.is_host(field))
    }

    /// It is the capability of one of them. Others take next to no time: their numbers are
    /// other ones.
    pub(crate) fn has(&self, mint: &Mint, capability: &Capability) -> bool {
        let number = mint.sift(capability);
        let mut sifted = self.0.iter().flat_map(|host| &host.sifted);
        let is_likely = sifted.any(|one| *one == number);
        let all = || self.0.iter().flat_map(|host| &host.capabilities);
        is_likely && capability.find(all()).is_some()
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
    fn new(host: &WebHost, doors: &DoorConfig, mint: &Mint, before: &Hosts) -> Option<Self> {
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
        let (mut capabilities, mut sifted, mut bridges) = (Vec::new(), Vec::new(), Vec::new());
        for named in &host.secrets {
            for key in WebKey::all_of(&named.secret) {
                let capability = Capability::of(&key, &name, path.as_ref());
                let id = BridgeId::of(&capability);
                if bridges.iter().any(|bridge: &Bridge| bridge.id == id) {
                    continue;
                }
                sifted.push(mint.sift(&capability));
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
            sifted,
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
