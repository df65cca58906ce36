use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::camouflage::{Fronting, FrontingChoice, YesNo};
use super::descriptors::{self, Wants};
use super::differences::Given;
use super::error::{ConfigError, Problem};
use super::flags::{Flags, Seconds};
use super::guard::GuardConfig;
use super::link;
use super::listen::{ListenFlag, ListenPlace};
use super::listen_address::overlap;
use super::machine::Machine;
use super::notes;
use super::role::Role;
use super::settings::{Setting, origin_of};
use super::values::RouteChoice;
use super::{
    Config, Descriptors, FloodLimits, ListenerConfig, NamedSecret, ReplayCache, Rule, SecretLimits,
};
use crate::wire::dc::DcId;
use crate::wire::secret::{AdTag, Domain, SecretForm, SharedSecret};

/// Clients expect a proxy there; so does a censor who looks at TLS.
const PORT: u16 = 443;
const PORT_WITHOUT_ROOT: u16 = 8443;

/// Flags, all read, and the machine's defaults become a config without
/// contradictions. `settings` are where the flags came from, for the errors.
pub(super) fn build(
    flags: Flags,
    settings: &[Setting],
    machine: &Machine,
) -> Result<Config, ConfigError> {
    let mut notes = Vec::new();
    let link = link::build(&flags, settings)?;
    let role = flags.role.unwrap_or_default();
    let allow = flags.allow.unwrap_or_default();
    let secrets = name_secrets(&flags, settings)?;
    let listeners = match role {
        Role::Back => Vec::new(),
        Role::Both | Role::Front => listeners(&flags, settings, machine, &secrets, &mut notes)?,
    };
    let clients = listeners.iter().map(|listener| listener.addr);
    let links = link.listen.iter().map(|place| place.address);
    if let Some(metrics) = &flags.metrics
        && let Some(other) = clients
            .chain(links)
            .find(|other| overlap(*other, metrics.0))
    {
        let address = metrics.0;
        let problem = Problem::MetricsInTheWay { address, other };
        return Err(at_nth("--metrics", 0, settings, problem));
    }
    let max_clients = max_clients(&flags, machine);
    let data_dir = flags.data_dir.clone().unwrap_or_else(|| machine.data_dir());
    let mut guard = guard(&flags, settings, machine)?;
    for table in &mut guard.tables {
        table.is_ours = table.file.starts_with(&data_dir);
    }
    let tls_domains = tls_domains(flags.tls_domain.clone(), &secrets, &listeners);
    let fronting = fronting(&flags, &tls_domains)?;
    if fronting.to_any_site {
        notes.push(
            "--fronting-to-any-site: anybody can reach any HTTPS site through this proxy"
                .to_owned(),
        );
    }
    let route = flags.route.unwrap_or_default();
    if route == RouteChoice::Direct && listeners.iter().any(|l| l.tag.is_some()) {
        return Err(ConfigError::new(Problem::TagWithoutMiddle));
    }
    let dc_connections = flags.dc_connections.map_or(0, |n| n.0 as usize);
    let clients_per_connection = flags.clients_per_connection.map_or(300, |n| n.0 as usize);
    let buffers = flags.buffers.map_or(machine.buffers(), |size| size.0);
    let wants = Wants {
        role,
        max_clients,
        direct: role == Role::Both && route != RouteChoice::Middle,
        site: fronting.choice != FrontingChoice::Off,
        listeners: listeners.len() + link.listen.len(),
        links: link.backs.len() * link.connections,
        dc_connections,
        clients_per_connection,
        buffers,
        most: machine.most(),
    };
    let descriptors = descriptors::share_out(machine.descriptors, &wants);
    guard.max_handshakes = max_handshakes(&flags, descriptors);
    let by_machine = || Some(FloodLimits::for_strangers(descriptors.strangers));
    guard.flood = flags.flood_limit.map_or_else(by_machine, |flag| flag.0);
    let is_back = role == Role::Back;
    let is_short = !is_back && descriptors.clients < max_clients;
    let open_files = machine.descriptors.filter(|_| is_short);
    let more = open_files.map(|limit| notes::more_files(limit, &wants, machine));
    let lowered = match is_back {
        true => None,
        false => notes::lower(&flags, descriptors, more.as_deref()),
    };
    if let (None, Some(more)) = (flags.max_clients, more) {
        let (there, clients) = (descriptors.clients, max_clients);
        notes.push(format!(
            "room for {there} clients, not the {clients} of the memory: {more}"
        ));
    }
    notes.extend(notes::group_limit(&machine.memory));
    let mut warnings = notes::one_key_twice(&secrets, &listeners);
    warnings.extend(notes::closed_secrets(&secrets));
    warnings.extend(tls_domains.iter().filter_map(notes::misnomer));
    warnings.extend(notes::no_likeness(&listeners, allow, &tls_domains));
    let config = Config {
        role,
        link,
        listeners,
        secrets,
        allow,
        tls_domains,
        sni_salt: flags.sni_salt,
        guard,
        filter_server_errors: flags.filter_server_errors.unwrap_or_default(),
        reset: flags.reset.unwrap_or_default(),
        fronting,
        time_skew: flags.time_skew.unwrap_or_default(),
        tls_records: flags.tls_records.unwrap_or_default(),
        answer_time: flags.answer_time.unwrap_or_default(),
        route,
        tag: flags.tag,
        external_ip: flags.external_ip.map(|ip| ip.0),
        link_name: flags.link_name,
        telegram_secret: flags.telegram_secret,
        telegram_config: flags.telegram_config,
        telegram_config_v6: flags.telegram_config_v6,
        refresh: seconds(flags.refresh, 3600),
        dc_overrides: flags
            .dc
            .iter()
            .map(|dc| (dc.0, dc.1))
            .collect::<Vec<(DcId, SocketAddr)>>(),
        dc_connections,
        clients_per_connection,
        max_clients: if is_back {
            max_clients
        } else {
            descriptors.clients
        },
        descriptors,
        open_files,
        memory: machine.memory.clone(),
        lowered,
        buffers,
        handshake_timeout: seconds(flags.handshake_timeout, 10),
        idle_timeout: seconds(flags.idle_timeout, 1800),
        send_timeout: seconds(flags.send_timeout, 60),
        hibernate: seconds(flags.hibernate, 60),
        control: flags.control.unwrap_or_else(|| data_dir.join("control")),
        data_dir,
        log_level: flags.log_level.unwrap_or_default(),
        metrics: flags.metrics.map(|address| address.0),
        user: flags.user,
        own_secret: None,
        notes,
        warnings,
        given: Given::of(settings),
    };
    check_forms(&config)?;
    Ok(config)
}

fn guard(
    flags: &Flags,
    settings: &[Setting],
    machine: &Machine,
) -> Result<GuardConfig, ConfigError> {
    for (index, table) in flags.table.iter().enumerate() {
        let earlier = flags.table.iter().take(index);
        if earlier.into_iter().any(|other| other.name == table.name) {
            let name = table.name.clone();
            return Err(at_nth(
                "--table",
                index,
                settings,
                Problem::DuplicateTable { name },
            ));
        }
    }
    for (index, rule) in flags.policy.iter().enumerate() {
        if let Rule::InTable { table: name, .. } | Rule::NotInTable { table: name, .. } = rule
            && !flags.table.iter().any(|table| table.name == *name)
        {
            let name = name.clone();
            return Err(at_nth(
                "--policy",
                index,
                settings,
                Problem::NoSuchTable { name },
            ));
        }
    }
    Ok(GuardConfig {
        policies: flags.policy.clone(),
        tables: flags.table.clone(),
        relays: flags
            .proxy_protocol
            .clone()
            .map_or_else(Vec::new, |relays| relays.0),
        replay_cache: ReplayCache {
            entries: flags
                .replay_cache
                .and_then(|flag| flag.entries)
                .unwrap_or_else(|| machine.replay_cache()),
            keep: flags.replay_cache.and_then(|flag| flag.keep),
        },
        // Known once descriptors are shared out.
        flood: None,
        max_handshakes: 1,
    })
}

/// By default half of the clients, and those who may prove themselves beside a
/// full house in any case.
fn max_handshakes(flags: &Flags, there: Descriptors) -> usize {
    let given = flags.max_handshakes.map(|n| n.0 as usize);
    let wanted = given.unwrap_or_else(|| (there.clients / 2).max(there.beside));
    wanted.min(there.places()).max(1)
}

fn max_clients(flags: &Flags, machine: &Machine) -> usize {
    let given = flags.max_clients.map(|n| n.0 as usize);
    given.unwrap_or_else(|| machine.max_clients())
}

fn seconds(given: Option<Seconds>, default: u64) -> Duration {
    Duration::from_secs(given.map_or(default, |seconds| seconds.0))
}

/// Every secret has a name, and no two are the same.
fn name_secrets(flags: &Flags, settings: &[Setting]) -> Result<Vec<NamedSecret>, ConfigError> {
    let mut named: Vec<NamedSecret> = Vec::with_capacity(flags.secret.len());
    let (mut names, mut secrets) = (HashSet::new(), HashSet::new());
    for (index, flag) in flags.secret.iter().enumerate() {
        let name = match &flag.name {
            Some(name) => name.clone(),
            None => format!("secret{}", index + 1),
        };
        let problem = if !names.insert(name.clone()) {
            Some(Problem::DuplicateName { name: name.clone() })
        } else if !secrets.insert(flag.secret.to_string()) {
            let other = named.iter().find(|other| other.secret == flag.secret);
            let other = other.map_or_else(String::new, |other| other.name.clone());
            let name = name.clone();
            Some(Problem::DuplicateSecret { name, other })
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(at_nth("--secret", index, settings, problem));
        }
        named.push(NamedSecret {
            name,
            secret: flag.secret.clone(),
            limits: flag.limits,
        });
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

/// Strangers see the site that the proxy is said to be, if it is.
fn fronting(flags: &Flags, tls_domains: &[Domain]) -> Result<Fronting, ConfigError> {
    let is_set = |flag: Option<YesNo>| flag.is_some_and(|YesNo(yes)| yes);
    let to_any_site = is_set(flags.fronting_to_any_site);
    let choice = match &flags.fronting {
        Some(choice) => choice.clone(),
        None if tls_domains.is_empty() => FrontingChoice::Off,
        None => FrontingChoice::ByName,
    };
    if choice == FrontingChoice::ByName && tls_domains.is_empty() && !to_any_site {
        return Err(ConfigError::new(Problem::NoSiteToFront));
    }
    Ok(Fronting {
        choice,
        to_any_site,
        proxy_protocol: is_set(flags.fronting_proxy_protocol),
    })
}

/// No secret may be useless.
pub(super) fn check_forms(config: &Config) -> Result<(), ConfigError> {
    let allow = config.allow;
    let only_tls = !allow.classic && !allow.dd;
    let knows_names = !config.tls_domains.is_empty() || config.sni_salt.is_some();
    for named in config
        .listeners
        .iter()
        .flat_map(|listener| &listener.secrets)
    {
        let form = match named.secret.form {
            SecretForm::Classic if only_tls && !knows_names => {
                return Err(ConfigError::new(Problem::NoTlsDomain));
            }
            SecretForm::Padded if !allow.dd => "dd",
            SecretForm::FakeTls(_) if !allow.tls => "tls",
            _ => continue,
        };
        let name = named.name.clone();
        return Err(ConfigError::new(Problem::FormNotAllowed { name, form }));
    }
    Ok(())
}

fn at_nth(flag: &str, index: usize, settings: &[Setting], problem: Problem) -> ConfigError {
    ConfigError {
        origin: origin_of(settings, flag, index).cloned(),
        problem,
    }
}
