use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::doors::{DoorConfig, ListenerConfig, NamedSecret};
use super::super::error::{ConfigError, Problem};
use super::super::flags::Flags;
use super::super::listen::{ListenFlag, ListenPlace};
use super::super::listen_address::overlap;
use super::super::machine::Machine;
use super::super::secret::SecretLimits;
use super::super::settings::{Setting, at_nth, origin_of};
use super::super::values::Role;
use crate::wire::secret::{AdTag, Domain, SecretForm, SharedSecret};

/// Clients expect a proxy there; so does a censor who looks at TLS.
const PORT: u16 = 443;
const PORT_WITHOUT_ROOT: u16 = 8443;

/// `notes` are for the person.
pub(super) fn build(
    flags: &Flags,
    settings: &[Setting],
    machine: &Machine,
    notes: &mut Vec<String>,
) -> Result<DoorConfig, ConfigError> {
    let secrets = name_secrets(flags, settings)?;
    let listeners = match flags.role.unwrap_or_default() {
        Role::Back => Vec::new(),
        Role::Both | Role::Front => listeners(flags, settings, machine, &secrets, notes)?,
    };
    Ok(DoorConfig {
        tls_domains: tls_domains(flags.tls_domain.clone(), &secrets, &listeners),
        listeners,
        secrets,
        own_secret: None,
        allow: flags.allow.unwrap_or_default(),
        sni_salt: flags.sni_salt.clone(),
        route: flags.route.unwrap_or_default(),
        tag: flags.tag,
    })
}

/// Every secret has a name, and no two are the same.
fn name_secrets(flags: &Flags, settings: &[Setting]) -> Result<Vec<NamedSecret>, ConfigError> {
    let flags = flags.secret.iter().enumerate();
    let named = flags.map(|(index, flag)| NamedSecret {
        name: match &flag.name {
            Some(name) => name.clone(),
            None => format!("secret{}", index + 1),
        },
        secret: flag.secret.clone(),
        limits: flag.limits,
    });
    let named: Vec<_> = named.collect();
    let texts: Vec<_> = named.iter().map(|one| one.secret.to_string()).collect();
    let (mut names, mut secrets) = (HashSet::new(), HashSet::new());
    for (index, (NamedSecret { name, secret, .. }, text)) in named.iter().zip(&texts).enumerate() {
        let problem = if !names.insert(&**name) {
            Problem::DuplicateName { name: name.clone() }
        } else if !secrets.insert(&**text) {
            let other = named.iter().find(|other| other.secret == *secret);
            let other = other.map_or_else(String::new, |other| other.name.clone());
            let name = name.clone();
            Problem::DuplicateSecret { name, other }
        } else {
            continue;
        };
        return Err(at_nth("--secret", index, settings, problem));
    }
    Ok(named)
}

fn listeners(
    flags: &Flags,
    settings: &[Setting],
    machine: &Machine,
    secrets: &[NamedSecret],
    notes: &mut Vec<String>,
) -> Result<Vec<ListenerConfig>, ConfigError> {
    let mut listeners: Vec<(usize, ListenerConfig)> = Vec::new();
    let default = [default_listener(machine)];
    let wanted = match flags.listen.as_slice() {
        [] if is_behind_web_server(flags) => &[],
        [] => {
            if !machine.may_bind_443 {
                notes.push(format!(
                    "listening on port {PORT_WITHOUT_ROOT}, because port {PORT} needs root (or \
                     `setcap cap_net_bind_service=+ep` on this program); choose with --listen"
                ));
            }
            default.as_slice()
        }
        given => given,
    };
    for (index, flag) in wanted.iter().enumerate() {
        for listener in expand(flag, flags.tag, secrets) {
            let problem = collision(&listener, &listeners, settings);
            let problem = problem.or_else(|| takes_a_name(flag, &listener, secrets));
            if let Some(problem) = problem {
                return Err(at_nth("--listen", index, settings, problem));
            }
            listeners.push((index, listener));
        }
    }
    Ok(listeners
        .into_iter()
        .map(|(_, listener)| listener)
        .collect())
}

/// All WEB hosts have their TLS elsewhere, so port 443 most likely is a web server's.
fn is_behind_web_server(flags: &Flags) -> bool {
    !flags.web_listen.is_empty() && !flags.has_web_tls()
}

fn default_listener(machine: &Machine) -> ListenFlag {
    let port = if machine.may_bind_443 {
        PORT
    } else {
        PORT_WITHOUT_ROOT
    };
    ListenFlag {
        place: ListenPlace::Everywhere(port),
        name: None,
        secrets: Vec::new(),
        tag: None,
        late: false,
    }
}

/// One flag's listeners: two where it names no address.
fn expand(flag: &ListenFlag, tag: Option<AdTag>, secrets: &[NamedSecret]) -> Vec<ListenerConfig> {
    let one = |addr: SocketAddr, optional| {
        let name = flag.name.clone().unwrap_or_else(|| addr.to_string());
        ListenerConfig {
            addr,
            optional,
            late: flag.late,
            secrets: own_secrets(flag, &name).unwrap_or_else(|| secrets.to_vec()),
            name,
            tag: flag.tag.or(tag),
        }
    };
    match flag.place {
        ListenPlace::One(addr) => vec![one(addr, false)],
        ListenPlace::Everywhere(port) => vec![
            one((Ipv4Addr::UNSPECIFIED, port).into(), false),
            one((Ipv6Addr::UNSPECIFIED, port).into(), true),
        ],
    }
}

/// The secrets of this listener alone, called after it.
fn own_secrets(flag: &ListenFlag, listener: &str) -> Option<Vec<NamedSecret>> {
    let called = |(index, secret): (usize, &SharedSecret)| NamedSecret {
        name: match (index, flag.secrets.len()) {
            (_, 1) => listener.to_owned(),
            _ => format!("{listener}/{}", index + 1),
        },
        secret: secret.clone(),
        limits: SecretLimits::default(),
    };
    let own: Vec<_> = flag.secrets.iter().enumerate().map(called).collect();
    (!own.is_empty()).then_some(own)
}

/// Two secrets of one name would share one account, and its limits.
fn takes_a_name(
    flag: &ListenFlag,
    listener: &ListenerConfig,
    secrets: &[NamedSecret],
) -> Option<Problem> {
    let own = listener.secrets.iter().filter(|_| !flag.secrets.is_empty());
    let mut names = own.map(|named| &named.name);
    let name = names.find(|name| secrets.iter().any(|other| other.name == **name))?;
    Some(Problem::NameOfSecret { name: name.clone() })
}

fn collision(
    new: &ListenerConfig,
    others: &[(usize, ListenerConfig)],
    settings: &[Setting],
) -> Option<Problem> {
    let address = new.addr;
    others.iter().find_map(|(index, other)| {
        let other = other.addr;
        if other == address {
            let first = origin_of(settings, "--listen", *index).cloned();
            return Some(Problem::DuplicateListener { address, first });
        }
        overlap(other, address).then_some(Problem::OverlappingListener { address, other })
    })
}

/// Those of the flag, then those that secrets name.
fn tls_domains(
    mut domains: Vec<Domain>,
    secrets: &[NamedSecret],
    listeners: &[ListenerConfig],
) -> Vec<Domain> {
    let own = listeners.iter().flat_map(|listener| &listener.secrets);
    for named in secrets.iter().chain(own) {
        if let SecretForm::FakeTls(domain) = &named.secret.form
            && !domains.contains(domain)
        {
            domains.push(domain.clone());
        }
    }
    domains
}
