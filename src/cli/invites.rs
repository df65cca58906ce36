//! The invites that a config makes: of every secret, in every form, at every listener.

use std::collections::HashSet;
use std::net::IpAddr;

use super::ended::SecretEnd;
use super::invite_host;
use super::qr;
use crate::config::{Config, InviteName, ListenerConfig};
use crate::wire::invite::Invite;
use crate::wire::json::Json;
use crate::wire::secret::{Domain, SecretForm, SharedSecret, derive_for_sni};

/// An invite, with whose it is and who can use it.
pub(super) struct NamedInvite {
    pub(crate) secret_name: String,
    /// The name under which its clients are counted: of secrets with the same key the
    /// first one's.
    pub(crate) counts_as: String,
    pub(crate) listener_name: String,
    /// Only this machine's own network reaches the server.
    pub(crate) is_private: bool,
    /// The listener takes clients on all addresses of this machine.
    pub(crate) on_all_addresses: bool,
    /// Why nobody comes in with it.
    pub(crate) ended: Option<SecretEnd>,
    pub(crate) invite: Invite,
}

/// An invite for every secret × form × listener, no invite twice.
pub(super) fn all(config: &Config, server: Option<&InviteName>) -> Vec<NamedInvite> {
    let is_named = server.or(config.address.link_name.as_ref()).is_some();
    let mut invites: Vec<NamedInvite> = Vec::new();
    for listener in &config.doors.listeners {
        if !is_named && is_shadowed(listener, config) {
            continue;
        }
        for named in of_listener(listener, config, server) {
            if !invites.iter().any(|known| known.invite == named.invite) {
                invites.push(named);
            }
        }
    }
    invites
}

/// Whether it is the IPv6 half of a listener on all addresses, whose IPv4 half has an
/// invite that everyone can use.
fn is_shadowed(listener: &ListenerConfig, config: &Config) -> bool {
    listener.optional
        && (config.address.external_ip.is_some_and(|ip| ip.is_ipv4())
            || invite_host::sending_address(true).is_some())
}

fn of_listener(
    listener: &ListenerConfig,
    config: &Config,
    server: Option<&InviteName>,
) -> Vec<NamedInvite> {
    let Some(server) = invite_host::of(listener, config, server) else {
        return Vec::new();
    };
    let mut invites = Vec::new();
    // The second secret of a name is one that a user had before.
    let mut seen = HashSet::new();
    for named in listener
        .secrets
        .iter()
        .filter(|one| seen.insert(&*one.name))
    {
        let mut all = listener.secrets.iter();
        let first = all.find(|first| first.secret.key == named.secret.key);
        let first = first.unwrap_or(named);
        for secret in forms(&named.secret, config) {
            invites.push(NamedInvite {
                secret_name: named.name.clone(),
                counts_as: first.name.clone(),
                listener_name: listener.name.clone(),
                is_private: server.is_private,
                on_all_addresses: listener.addr.ip().is_unspecified(),
                ended: SecretEnd::by_date(&first.limits),
                invite: Invite {
                    server: server.host.clone(),
                    port: server.port,
                    secret,
                },
            });
        }
    }
    invites
}

/// What a secret may be handed out as, the least conspicuous first. A `dd` or
/// `ee` secret was meant to be that; a bare one is good for every form.
pub(super) fn forms(secret: &SharedSecret, config: &Config) -> Vec<SharedSecret> {
    if secret.form != SecretForm::Classic {
        return vec![derived(secret.clone(), config)];
    }
    let (allow, tls_domains) = (config.doors.allow, &config.doors.tls_domains);
    let mut forms = Vec::new();
    if allow.tls {
        forms.extend(tls_domains.iter().cloned().map(SecretForm::FakeTls));
    }
    if allow.dd {
        forms.push(SecretForm::Padded);
    }
    if allow.classic {
        forms.push(SecretForm::Classic);
    }
    let key = secret.key;
    let with = |form| derived(SharedSecret { key, form }, config);
    forms.into_iter().map(with).collect()
}

/// What `--sni-salt` makes of a fake-TLS secret; others stay what they are.
fn derived(secret: SharedSecret, config: &Config) -> SharedSecret {
    let SharedSecret { key, form } = secret;
    let key = match (&form, &config.doors.sni_salt) {
        (SecretForm::FakeTls(domain), Some(salt)) => {
            derive_for_sni(&key, salt.as_bytes(), domain.as_str())
        }
        _ => key,
    };
    SharedSecret { key, form }
}

/// The config with every secret as one for fake TLS to `sni`: for `link --sni`.
pub(super) fn for_sni(mut config: Config, sni: &Domain) -> Config {
    for named in config
        .doors
        .listeners
        .iter_mut()
        .flat_map(|l| &mut l.secrets)
    {
        named.secret.form = SecretForm::FakeTls(sni.clone());
    }
    config
}

/// The config with the secret of this name alone, which may be none.
pub(super) fn with_only(mut config: Config, name: &str) -> Config {
    let listeners = config.doors.listeners.iter_mut();
    let of_listeners = listeners.map(|listener| &mut listener.secrets);
    let of_hosts = config.web.hosts.iter_mut().map(|host| &mut host.secrets);
    for secrets in of_listeners.chain(of_hosts) {
        secrets.retain(|named| named.name == name);
    }
    config.doors.secrets.retain(|named| named.name == name);
    config
}

impl NamedInvite {
    /// Whether a NAT may have a public address for it: this machine has none, and the
    /// listener takes clients on whatever it has.
    pub(crate) fn is_behind_nat(&self) -> bool {
        let is_address = self.invite.server.parse::<IpAddr>().is_ok();
        self.is_private && self.on_all_addresses && is_address && !self.is_of_this_machine()
    }

    /// Leads to `outside`, the public address, instead.
    pub(crate) fn move_to(&mut self, outside: IpAddr) {
        self.invite.server = outside.to_string();
        self.is_private = false;
    }

    /// Whether only this machine reaches it.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        let server = self.invite.server.parse::<IpAddr>();
        server.is_ok_and(|ip| ip.is_loopback())
    }

    /// Caption, both links and, if wanted and of use, the QR code.
    pub(crate) fn show(&self, with_qr: bool, colours: bool) -> String {
        let mut text = format!(
            "{} on {}, {}\n",
            self.secret_name,
            self.listener_name,
            describe(&self.invite.secret.form),
        );
        if let Some(ended) = &self.ended {
            text.push_str(&format!("  {ended}\n"));
        }
        text.push_str(&format!(
            "  {}\n  {}\n",
            self.invite.tg(),
            self.invite.t_me()
        ));
        if with_qr && self.ended.is_none() {
            match qr::render(&self.invite.tg(), colours, qr::QUIET_ZONE) {
                Ok(code) => text.push_str(&code),
                Err(_) => text.push_str("  (too long for a QR code)\n"),
            }
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        let ended = self.ended.as_ref();
        let mut object = vec![
            ("secret_name", Json::from(self.secret_name.as_str())),
            ("listener", Json::from(self.listener_name.as_str())),
            ("form", Json::from(form_name(&self.invite.secret.form))),
            ("server", Json::from(self.invite.server.as_str())),
            ("port", Json::Number(self.invite.port.into())),
            ("secret", Json::Text(self.invite.secret.to_string())),
            ("tg", Json::Text(self.invite.tg())),
            ("t_me", Json::Text(self.invite.t_me())),
        ];
        object.extend(ended.map(|ended| ("ended", Json::Text(ended.to_string()))));
        Json::Object(object)
    }
}

/// Why an invite may not work from outside, and what to do.
pub(super) fn warning(invites: &[NamedInvite]) -> Option<String> {
    let Some(named) = invites.iter().find(|named| named.is_private) else {
        return invites.is_empty().then(|| {
            "this machine's address is not known; give --external-ip IP or --link-name HOST"
                .to_owned()
        });
    };
    let host = &named.invite.server;
    Some(match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => {
            format!(
                "{host} is reached from this machine only; for others listen on another address"
            )
        }
        _ => format!(
            "{host} is reached from the local network only; for others give --external-ip IP or \
             --link-name HOST, and open the port in the firewall of a cloud (1:1 NAT) or forward it \
             on the router at home"
        ),
    })
}

pub(super) fn form_name(form: &SecretForm) -> &'static str {
    match form {
        SecretForm::Classic => "classic",
        SecretForm::Padded => "dd",
        SecretForm::FakeTls(_) => "tls",
    }
}

fn describe(form: &SecretForm) -> String {
    match form {
        SecretForm::Classic => "classic".to_owned(),
        SecretForm::Padded => "padded (dd)".to_owned(),
        SecretForm::FakeTls(domain) => format!("looks like TLS to {domain} (ee)"),
    }
}
