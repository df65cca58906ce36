use std::net::SocketAddr;

use super::error::{ConfigError, Problem};
use super::guard::SniSalt;
use super::old_secret::OldSecret;
use super::routes::RouteChoice;
use super::secret::SecretLimits;

use super::values::Allow;
use crate::wire::secret::{AdTag, Domain, SecretForm, SharedSecret};

/// What the secret is called that the proxy has made itself; no user is.
pub(super) const OWN_SECRET: &str = "own";

/// Where clients come in, with what, and where they go from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorConfig {
    /// No two share an address. On a back none, and where all come through a web server.
    pub(crate) listeners: Vec<ListenerConfig>,
    /// Those that listeners without their own use.
    pub(crate) secrets: Vec<NamedSecret>,
    /// Set where none was given but users': the first one is the proxy's own.
    pub(crate) own_secret: Option<OwnSecret>,
    pub(crate) allow: Allow,
    /// Those of `--tls-domain` first, then those that secrets name.
    pub(crate) tls_domains: Vec<Domain>,
    /// Fake-TLS clients have to know a secret derived for their server name.
    pub(crate) sni_salt: Option<SniSalt>,
    pub(crate) route: RouteChoice,
    /// Of listeners without their own.
    pub(crate) tag: Option<AdTag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerConfig {
    pub(crate) addr: SocketAddr,
    /// The IPv6 half of "all addresses": a machine without IPv6 does without.
    pub(crate) optional: bool,
    /// This machine may get that address later.
    pub(crate) late: bool,
    /// As given, else the address.
    pub(crate) name: String,
    /// Its own, or all of [`DoorConfig::secrets`].
    pub(crate) secrets: Vec<NamedSecret>,
    /// Its own, or [`DoorConfig::tag`].
    pub(crate) tag: Option<AdTag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSecret {
    pub(crate) name: String,
    pub(crate) secret: SharedSecret,
    pub(crate) limits: SecretLimits,
}

/// A secret that the proxy made itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSecret {
    /// In `--data-dir`: the next run has it too.
    Kept,
    /// `--data-dir` cannot be written.
    ThisRunOnly,
}

/// That secret, and how long it lasts.
pub(crate) type OwnedSecret = (SharedSecret, OwnSecret);

impl DoorConfig {
    /// The listener on this address.
    pub(crate) fn listener(&self, addr: SocketAddr) -> Option<&ListenerConfig> {
        self.listeners.iter().find(|listener| listener.addr == addr)
    }

    /// Those of listeners too, which repeat.
    pub(crate) fn all_secrets(&self) -> impl Iterator<Item = &NamedSecret> {
        let own = self.listeners.iter().flat_map(|listener| &listener.secrets);
        self.secrets.iter().chain(own)
    }

    /// Every secret's limits by its name; those of several listeners repeat.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&str, SecretLimits)> {
        let secrets = self.all_secrets();
        secrets.map(|named| (named.name.as_str(), named.limits))
    }

    /// The secret that the proxy made itself, if that is what it runs with.
    pub(crate) fn made_secret(&self) -> Option<OwnedSecret> {
        let own = self.own_secret?;
        let named = self.secrets.iter().find(|named| named.name == OWN_SECRET);
        Some((named?.secret.clone(), own))
    }

    /// Some listener has a tag.
    pub(crate) fn has_tag(&self) -> bool {
        self.listeners.iter().any(|listener| listener.tag.is_some())
    }

    pub(super) fn lack_secrets(&self) -> bool {
        self.listeners.iter().any(|l| l.secrets.is_empty())
    }

    /// Lets the proxy's own secret open what has none of its own.
    pub(super) fn add_own(&mut self, (secret, own): OwnedSecret) {
        let before = self.secrets.clone();
        let name = OWN_SECRET.to_owned();
        let limits = SecretLimits::default();
        self.secrets.insert(
            0,
            NamedSecret {
                name,
                secret,
                limits,
            },
        );
        self.own_secret = Some(own);
        for listener in self.listeners.iter_mut().filter(|l| l.secrets == before) {
            listener.secrets = self.secrets.clone();
        }
    }

    /// Lets a secret that a user had before open what the new one does.
    pub(super) fn add_old(&mut self, old: &OldSecret) {
        if let SecretForm::FakeTls(domain) = &old.secret.form
            && !self.tls_domains.is_empty()
            && !self.tls_domains.contains(domain)
        {
            self.tls_domains.push(domain.clone());
        }
        add_old(&mut self.secrets, old);
        for listener in &mut self.listeners {
            add_old(&mut listener.secrets, old);
        }
    }

    /// No secret may be useless.
    pub(super) fn check_forms(&self) -> Result<(), ConfigError> {
        let only_tls = !self.allow.classic && !self.allow.dd;
        let knows_names = !self.tls_domains.is_empty() || self.sni_salt.is_some();
        for named in self.listeners.iter().flat_map(|listener| &listener.secrets) {
            let form = match named.secret.form {
                SecretForm::Classic if only_tls && !knows_names => {
                    return Err(ConfigError::new(Problem::NoTlsDomain));
                }
                SecretForm::Padded if !self.allow.dd => "dd",
                SecretForm::FakeTls(_) if !self.allow.tls => "tls",
                _ => continue,
            };
            let name = named.name.clone();
            return Err(ConfigError::new(Problem::FormNotAllowed { name, form }));
        }
        Ok(())
    }
}

/// Behind the others: of two secrets of a name the second one is old.
pub(super) fn add_old(secrets: &mut Vec<NamedSecret>, old: &OldSecret) {
    let user = secrets.iter().find(|named| named.name == old.name);
    let named = user.map(|user| NamedSecret {
        secret: old.secret.clone(),
        ..user.clone()
    });
    secrets.extend(named);
}
