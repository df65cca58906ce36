//! What the person should know of a config that is without contradictions.

use std::collections::HashMap;

use super::super::descriptors::{self, Descriptors, Wants};
use super::super::doors::{DoorConfig, ListenerConfig, NamedSecret};
use super::super::flags::Flags;
use super::super::machine::Machine;
use super::super::memory::Memory;
use super::super::network::Reach;
use super::super::routes::{RouteList, RouteName};
use super::super::values::{Allow, Role};
use super::super::web::WebConfig;
use crate::wire::secret::{Domain, Secret, SecretForm};

/// What the person should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// A line each; for the log at the start.
    pub(crate) notes: Vec<String>,
    /// Of these, what is probably a mistake.
    pub(crate) warnings: Vec<String>,
    /// Which limits are lower than was asked for, why, and what to raise.
    pub(crate) lowered: Option<String>,
}

impl Said {
    /// Of what `wants` there is less; `open_files` is the limit that says so.
    pub(super) fn of_shares(
        &mut self,
        flags: &Flags,
        machine: &Machine,
        (wants, there): (&Wants, Descriptors),
        open_files: Option<u64>,
    ) {
        let more = open_files.map(|limit| more_files(limit, wants, machine));
        if wants.role != Role::Back {
            self.lowered = lower(flags, there, more.as_deref());
        }
        if let (None, Some(more)) = (flags.max_clients, more) {
            let (there, clients) = (there.clients, wants.max_clients);
            self.notes.push(format!(
                "room for {there} clients, not the {clients} of the memory: {more}"
            ));
        }
        self.notes.extend(group_limit(&machine.memory));
    }

    /// By which routes Telegram is reached, where there is more to say than directly, and
    /// what is given for a route that is not taken.
    pub(super) fn of_routes(&mut self, flags: &Flags, doors: &DoorConfig) {
        if !RouteName::HAS_CHOICE {
            return;
        }
        use RouteName::{Upstream, Worker, Ws, Zone};
        let list = doors.route.list();
        if list != RouteList::default() {
            let who = match (flags.role, flags.via.is_some()) {
                // Its fronts' clients with a tag go to middle proxies, which have no web.
                (Some(Role::Back), false) => "direct sessions reach Telegram",
                _ => "Telegram is reached",
            };
            self.notes.push(format!("{who} by {}", list.in_words()));
        }
        let given = [
            ("--ws", !flags.ws.is_empty(), &[Ws][..]),
            ("--ws-sni", flags.ws_sni.is_some(), &[Ws]),
            ("--ws-spare", flags.ws_spare.is_some(), &[Ws, Zone, Worker]),
            ("--ws-ca", flags.ws_ca.is_some(), &[Ws, Zone, Worker]),
            (
                "--cloudflare-zone",
                flags.cloudflare_zone.is_some(),
                &[Zone],
            ),
            (
                "--cloudflare-worker",
                flags.cloudflare_worker.is_some(),
                &[Worker],
            ),
            ("--upstream", flags.upstream.is_some(), &[Upstream]),
        ];
        let mut told = None;
        for (flag, is_given, routes) in given {
            let is_taken = routes.iter().any(|route| list.has(*route));
            if is_given
                && !is_taken
                && let Some(route) = routes.first()
                && told.replace(route) != Some(route)
            {
                self.warnings.push(format!(
                    "{flag} has no effect without {route} in --route; add it there, as --route \
                     direct,{route}"
                ));
            }
        }
    }

    pub(super) fn of_via(&mut self, flags: &Flags) {
        let Some(via) = &flags.via else { return };
        self.notes.push(format!("Telegram is reached via {via}"));
        if flags.role == Some(Role::Back) {
            self.warnings.push(
                "with --via this back reaches no middle proxies: clients with a tag go direct if \
                 their front's --route is auto, else they are closed; for ad tags take --via \
                 away, else take the tag from the front"
                    .to_owned(),
            );
        }
        if flags.dc_connections.is_some() {
            self.warnings.push(
                "--dc-connections does nothing with --via, through which no middle proxies are \
                 reached; leave one of them out"
                    .to_owned(),
            );
        }
    }

    pub(super) fn of_doors(&mut self, doors: &DoorConfig) {
        let DoorConfig {
            secrets,
            listeners,
            tls_domains,
            ..
        } = doors;
        let warnings = &mut self.warnings;
        warnings.extend(one_key_twice(secrets, listeners));
        warnings.extend(closed_secrets(secrets));
        warnings.extend(tls_domains.iter().filter_map(misnomer));
        warnings.extend(no_likeness(listeners, doors.allow, tls_domains));
    }

    /// Of doors without TLS that are not only for a web server.
    pub(super) fn of_web(&mut self, web: &WebConfig) {
        let doors = web.listen.iter().filter(|door| !door.optional);
        let open = doors.filter(|door| {
            let ip = door.addr.ip();
            ip.is_unspecified() || Reach::of(ip) == Reach::Internet
        });
        self.warnings.extend(open.map(|door| {
            format!(
                "--web-listen {}: others than the web server may reach it, and it has no TLS: \
                 whoever is on the way reads what opens this proxy; take an address that only the \
                 web server reaches, as 127.0.0.1:{}, or let a firewall see to that",
                door.addr,
                door.addr.port()
            )
        }));
    }
}

/// Lowers what others' limits leave no room for; the line that says so, where
/// somebody asked for more. `more` is why there is no room for more clients.
fn lower(flags: &Flags, there: Descriptors, more: Option<&str>) -> Option<String> {
    let clients = there.clients;
    let mut lowered = Vec::new();
    if let Some(asked) = flags.max_clients
        && asked.0 as usize > clients
    {
        lowered.push(format!("--max-clients {} to {clients}", asked.0));
    }
    if let Some(asked) = flags.max_handshakes
        && asked.0 as usize > there.places()
    {
        let places = there.places();
        lowered.push(format!("--max-handshakes {} to {places}", asked.0));
    }
    if lowered.is_empty() {
        return None;
    }
    let lowered = lowered.join(" and ");
    Some(match more {
        Some(more) => format!("lowered {lowered}: {more} or ask for less"),
        None => format!("lowered {lowered}: there are no more places; raise --max-clients"),
    })
}

/// How the limit of open files is raised until nothing has to be lowered.
fn more_files(limit: u64, wants: &Wants, machine: &Machine) -> String {
    let enough = descriptors::enough(wants);
    let system = match machine.max_descriptors {
        Some(most) if most < enough => {
            format!(" after the system's own, `sysctl fs.nr_open={enough}`,")
        }
        _ => String::new(),
    };
    format!(
        "the limit of open files is {limit}; raise it to {enough}{system} (LimitNOFILE= in \
         systemd, nofile on OpenWrt, `ulimit -n` as root)"
    )
}

/// Whose limit defaults follow, where it is not the machine's.
fn group_limit(memory: &Memory) -> Option<String> {
    memory.group.as_ref()?;
    Some(format!(
        "{memory}: what no flag says follows that; for more raise that (MemoryMax= or MemoryHigh= \
         in systemd, --memory of a container)"
    ))
}

/// Secrets with a limit of none at a time.
fn closed_secrets(secrets: &[NamedSecret]) -> impl Iterator<Item = String> {
    let closed = secrets
        .iter()
        .filter_map(|NamedSecret { name, limits, .. }| {
            let limits = [
                ("max-connections", limits.max_connections),
                ("max-ips", limits.max_ips),
            ];
            let (limit, _) = limits.into_iter().find(|(_, most)| *most == Some(0))?;
            Some((name, limit))
        });
    closed.map(|(name, limit)| {
        format!("{limit}=0 lets nobody in with the secret {name}; for no limit leave it out")
    })
}

/// Clients prove a key, in whichever form they have it: of secrets that share one
/// the first is who they are.
fn one_key_twice(secrets: &[NamedSecret], listeners: &[ListenerConfig]) -> Vec<String> {
    let mut warnings = Vec::new();
    let own = listeners.iter().map(|listener| listener.secrets.as_slice());
    for list in std::iter::once(secrets).chain(own) {
        let mut names: HashMap<Secret, Option<&str>> = HashMap::new();
        for NamedSecret { name, secret, .. } in list {
            let known = names.entry(secret.key).or_default();
            let Some(first) = *known else {
                *known = Some(name);
                continue;
            };
            let warning = format!(
                "the secrets {first} and {name} are one key: clients with either count as {first}, \
                 and limits of {name} do nothing; make another for one of them with \
                 `smol-mtproxy secret`"
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

/// What is wrong with the name of a site, if it is nobody's.
fn misnomer(domain: &Domain) -> Option<String> {
    let problem = match domain {
        _ if domain.is_example() => "is an example's name, and no site to look like",
        _ if domain.is_address() => "is an address, and browsers ask for no such thing in TLS",
        _ => return None,
    };
    Some(format!(
        "{domain} {problem}: give --tls-domain a domain of your own whose address is this machine's"
    ))
}

/// That no link is one to a site of `--tls-domain`, if there is one.
fn no_likeness(
    listeners: &[ListenerConfig],
    allow: Allow,
    tls_domains: &[Domain],
) -> Option<String> {
    let domain = tls_domains.first()?;
    let secrets = listeners.iter().flat_map(|listener| &listener.secrets);
    let mut secrets = secrets.peekable();
    let looks_like_tls = |named: &NamedSecret| match named.secret.form {
        SecretForm::Padded => false,
        SecretForm::Classic | SecretForm::FakeTls(_) => allow.tls,
    };
    // Without a secret one is made, for every form.
    if secrets.peek().is_none() || secrets.any(looks_like_tls) {
        return None;
    }
    let way_out = match allow.tls {
        true => "give a --secret without its dd",
        false => "add tls to --allow; its --secret may not begin with dd",
    };
    Some(format!("no link looks like {domain}: {way_out}"))
}
