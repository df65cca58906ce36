use std::net::SocketAddr;
use std::time::Duration;

use super::camouflage::FrontingChoice;
use super::descriptors::{self, Wants};
use super::differences::Given;
use super::error::{ConfigError, Problem};
use super::flags::{Flags, Seconds};
use super::link::{self, Role};
use super::listen_address::overlap;
use super::machine::Machine;
use super::settings::{Setting, origin_of};
use super::values::RouteChoice;
use super::{Config, FloodLimits, doors, guard, notes, sites};
use crate::wire::dc::DcId;

/// Flags, all read, and the machine's defaults become a config without
/// contradictions. `settings` are where the flags came from, for the errors.
pub(super) fn build(
    flags: Flags,
    settings: &[Setting],
    machine: &Machine,
) -> Result<Config, ConfigError> {
    if flags.control.is_some() && !cfg!(feature = "ctl") {
        return Err(at_nth("--control", 0, settings, Problem::NoCtlHere));
    }
    let mut notes = Vec::new();
    let link = link::build(&flags, settings)?;
    let role = flags.role.unwrap_or_default();
    let allow = flags.allow.unwrap_or_default();
    let secrets = doors::name_secrets(&flags, settings)?;
    let listeners = match role {
        Role::Back => Vec::new(),
        Role::Both | Role::Front => {
            doors::listeners(&flags, settings, machine, &secrets, &mut notes)?
        }
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
    let mut guard = guard::build(&flags, settings, machine)?;
    for table in &mut guard.tables {
        table.is_ours = table.file.starts_with(&data_dir);
    }
    let tls_domains = doors::tls_domains(flags.tls_domain.clone(), &secrets, &listeners);
    let fronting = sites::fronting(&flags, &tls_domains)?;
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
    guard.max_handshakes = guard::max_handshakes(&flags, descriptors);
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
    doors::check_forms(&config)?;
    Ok(config)
}

fn max_clients(flags: &Flags, machine: &Machine) -> usize {
    let given = flags.max_clients.map(|n| n.0 as usize);
    given.unwrap_or_else(|| machine.max_clients())
}

fn seconds(given: Option<Seconds>, default: u64) -> Duration {
    Duration::from_secs(given.map_or(default, |seconds| seconds.0))
}

pub(super) fn at_nth(
    flag: &str,
    index: usize,
    settings: &[Setting],
    problem: Problem,
) -> ConfigError {
    ConfigError {
        origin: origin_of(settings, flag, index).cloned(),
        problem,
    }
}
