pub(super) mod clients;
mod doors;
mod guard;
mod link;
pub(super) mod notes;
pub(super) mod process;
pub(super) mod sites;
pub(super) mod telegram;
mod web;

use std::net::SocketAddr;

use super::camouflage::FrontingChoice;
use super::descriptors::{self, Wants};
use super::doors::DoorConfig;
use super::error::{ConfigError, Problem};
use super::flags::Flags;
use super::link::LinkConfig;
use super::listen_address::overlap;
use super::machine::{LinkPlaces, Machine};
use super::rooms::{AddressConfig, Config};
use super::routes::{RouteChoice, RouteList, RouteName};
use super::settings::{Given, Setting, at_nth};
use super::users::UserConfig;
use super::values::Role;
use super::web::WebConfig;
use notes::Said;
use process::ProcessConfig;
use sites::SiteConfig;
use telegram::PoolConfig;

/// Flags, all read, and the machine's defaults become a config without
/// contradictions. `settings` are where the flags came from, for the errors. Blocks.
pub(super) fn build(
    flags: Flags,
    settings: &[Setting],
    machine: &Machine,
) -> Result<Config, ConfigError> {
    let mut config = without_files(flags, settings, machine)?;
    let file = config.link.key_file.as_deref();
    config.link.key = file.map(link::read_key).transpose()?;
    Ok(config)
}

/// The same without what files hold that it names.
pub(super) fn without_files(
    flags: Flags,
    settings: &[Setting],
    machine: &Machine,
) -> Result<Config, ConfigError> {
    let mut said = Said::default();
    let process = process::build(&flags, machine);
    let mut link = link::build(&flags, settings)?;
    let doors = doors::build(&flags, settings, machine, &mut said.notes)?;
    let mut guard = guard::build(&flags, settings, machine, &process.data_dir)?;
    let mut sites = sites::build(&flags, &doors.tls_domains, &mut said.notes)?;
    let ports = ports(&doors, &link);
    let web = web::build(
        &flags,
        settings,
        &doors,
        &sites.fronting,
        (&ports, &process.data_dir),
    )?;
    let taken = taken(ports, &web);
    check_metrics(&flags, settings, &taken)?;
    check_route(&flags, settings, &doors)?;
    check_cloudflare(&flags, settings, &doors)?;
    check_via(&flags, settings, &doors, &taken)?;
    check_upstream(&flags, settings, &doors, &taken)?;
    let telegram = telegram::build(&flags, &doors);
    let ends = (&doors, &link, &web);
    let wants = wants(&flags, machine, &process, ends, &sites, telegram.pools);
    let descriptors = descriptors::share_out(machine.descriptors, &wants);
    link.places = LinkPlaces::of(machine.memory.bytes(), &descriptors);
    guard.share(&flags, descriptors);
    sites.max_strangers = descriptors.strangers;
    let clients = clients::build(&flags, machine, &wants, descriptors);
    said.of_shares(&flags, machine, (&wants, descriptors), clients.open_files);
    said.of_doors(&doors);
    said.of_web(&web);
    said.of_routes(&flags, &doors);
    said.of_via(&flags);
    doors.check_forms()?;
    Ok(Config {
        process,
        doors,
        clients,
        sites,
        guard,
        telegram,
        link,
        web,
        address: AddressConfig {
            external_ip: flags.external_ip.map(|ip| ip.0),
            link_name: flags.link_name,
        },
        descriptors,
        said,
        users: UserConfig::default(),
        given: Given::of(settings),
    })
}

/// Each role has its own choice of routes, and an ad tag needs middle proxies.
fn check_route(flags: &Flags, settings: &[Setting], doors: &DoorConfig) -> Result<(), ConfigError> {
    let role = flags.role.unwrap_or_default();
    let problem = match (role, flags.route) {
        (Role::Back, Some(RouteChoice::Auto)) => Problem::RouteOfFront { route: "auto" },
        (Role::Back, Some(RouteChoice::Middle)) => Problem::RouteOfFront { route: "middle" },
        (Role::Front, Some(RouteChoice::Own(routes))) if routes != RouteList::default() => {
            Problem::RoutesOfBack { routes }
        }
        (Role::Both | Role::Front, Some(RouteChoice::Own(routes))) if doors.has_tag() => {
            return Err(ConfigError::new(Problem::TagWithoutMiddle { routes }));
        }
        _ => return Ok(()),
    };
    Err(at_nth("--route", 0, settings, problem))
}

/// A route by what is the operator's own has to know it.
fn check_cloudflare(
    flags: &Flags,
    settings: &[Setting],
    doors: &DoorConfig,
) -> Result<(), ConfigError> {
    let known = [
        (
            RouteName::Zone,
            flags.cloudflare_zone.is_some(),
            "--cloudflare-zone ZONE",
        ),
        (
            RouteName::Worker,
            flags.cloudflare_worker.is_some(),
            "--cloudflare-worker HOST,key=KEY",
        ),
    ];
    let list = doors.route.list();
    match known
        .into_iter()
        .find(|(route, is_known, _)| list.has(*route) && !is_known)
    {
        Some((route, _, flag)) => Err(at_nth(
            "--route",
            0,
            settings,
            Problem::RouteWithoutFlag { route, flag },
        )),
        None => Ok(()),
    }
}

/// The page of the metrics is not where clients or links are taken.
fn check_metrics(
    flags: &Flags,
    settings: &[Setting],
    taken: &[SocketAddr],
) -> Result<(), ConfigError> {
    if let Some(metrics) = &flags.metrics
        && let Some(other) = taken.iter().find(|other| overlap(**other, metrics.0))
    {
        let (address, other) = (metrics.0, *other);
        let problem = Problem::MetricsInTheWay { address, other };
        return Err(at_nth("--metrics", 0, settings, problem));
    }
    Ok(())
}

/// No middle proxy is reached through a proxy: its keys are made of the address that
/// Telegram sees. And that proxy is another process.
fn check_via(
    flags: &Flags,
    settings: &[Setting],
    doors: &DoorConfig,
    taken: &[SocketAddr],
) -> Result<(), ConfigError> {
    let Some(via) = &flags.via else { return Ok(()) };
    let needs_middle = match doors.route {
        RouteChoice::Middle => Some("--route middle"),
        _ if doors.has_tag() => Some("--tag"),
        _ => None,
    };
    if let Some(flag) = needs_middle {
        return Err(at_nth("--via", 0, settings, Problem::MiddleVia { flag }));
    }
    let mut own = taken.to_vec();
    own.extend(flags.metrics.iter().map(|metrics| metrics.0));
    match own.into_iter().find(|own| via.is_at(*own)) {
        Some(own) => Err(at_nth(
            "--via",
            0,
            settings,
            Problem::ViaIsOurselves { own },
        )),
        None => Ok(()),
    }
}

/// Where clients and links are taken, without web servers' doors.
fn ports(doors: &DoorConfig, link: &LinkConfig) -> Vec<SocketAddr> {
    let clients = doors.listeners.iter().map(|listener| listener.addr);
    let links = link.listen.iter().map(|place| place.address);
    clients.chain(links).collect()
}

/// With these.
fn taken(mut ports: Vec<SocketAddr>, web: &WebConfig) -> Vec<SocketAddr> {
    ports.extend(web.listen.iter().map(|listen| listen.addr));
    ports
}

/// The other proxy is named if it is a route, and is another one.
fn check_upstream(
    flags: &Flags,
    settings: &[Setting],
    doors: &DoorConfig,
    taken: &[SocketAddr],
) -> Result<(), ConfigError> {
    let route = RouteName::Upstream;
    let Some(next) = &flags.upstream else {
        if !doors.route.list().has(route) {
            return Ok(());
        }
        let (route, flag) = (route.word(), "--upstream HOST:PORT:SECRET");
        let problem = Problem::RouteNeeds { route, flag };
        return Err(at_nth("--route", 0, settings, problem));
    };
    match taken.iter().find(|own| next.place.is_at(**own)) {
        Some(own) => {
            let problem = Problem::UpstreamIsOurselves { own: *own };
            Err(at_nth("--upstream", 0, settings, problem))
        }
        None => Ok(()),
    }
}

fn wants(
    flags: &Flags,
    machine: &Machine,
    process: &ProcessConfig,
    (doors, link, web): (&DoorConfig, &LinkConfig, &WebConfig),
    sites: &SiteConfig,
    pools: PoolConfig,
) -> Wants {
    let max_clients = flags.max_clients.map(|n| n.0 as usize);
    Wants {
        role: process.role,
        max_clients: max_clients.unwrap_or_else(|| machine.max_clients()),
        direct: process.role == Role::Both && doors.route != RouteChoice::Middle,
        site: match sites.fronting.choice {
            // A WEB host's TLS is one.
            FrontingChoice::Off | FrontingChoice::Own => web.has_tls(),
            _ => true,
        },
        listeners: doors.listeners.len() + link.listen.len() + web.listen.len(),
        web: web.is_on(),
        links: link.backs.len() * link.connections,
        dc_connections: pools.dc_connections,
        spare: telegram::spare(flags, doors),
        clients_per_connection: pools.clients_per_connection,
        buffers: process.buffers,
        maxima: machine.maxima(),
    }
}
