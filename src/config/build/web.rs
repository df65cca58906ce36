use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::super::camouflage::{Fronting, FrontingChoice};
use super::super::doors::{DoorConfig, NamedSecret};
use super::super::error::{ConfigError, Problem};
use super::super::flags::Flags;
use super::super::host::{Host, HostPort};
use super::super::listen::ListenPlace;
use super::super::listen_address::overlap;
use super::super::settings::{Setting, at_nth};
use super::super::web::{
    CoverSite, CoverSource, WebConfig, WebHost, WebHostFlag, WebListen, WebListenFlag, WebProblem,
};
use crate::wire::http::Url;
use crate::wire::web::HostName;

/// `taken` is where this process listens otherwise; below `data_dir` is what it keeps.
pub(super) fn build(
    flags: &Flags,
    settings: &[Setting],
    doors: &DoorConfig,
    fronting: &Fronting,
    (taken, data_dir): (&[SocketAddr], &Path),
) -> Result<WebConfig, ConfigError> {
    let acme = flags.web_acme.clone();
    let web = WebConfig {
        hosts: hosts(flags, settings, &doors.secrets, data_dir)?,
        listen: listen(flags, settings, taken)?,
        sites: sites(flags, settings, fronting)?,
        acme,
    };
    if web.hosts.is_empty() {
        return without_hosts(flags, settings);
    }
    check_sites(&web, flags, settings, taken)?;
    if web.acme.is_some() && !web.gets_certificates() {
        return Err(wrong("--web-acme", 0, settings, WebProblem::NothingToGet));
    }
    for (index, host) in web.hosts.iter().enumerate() {
        let problem = if host.files.is_none() && web.listen.is_empty() {
            WebProblem::NoWayIn {
                name: host.name.clone(),
            }
        } else if !web.has_site(host) {
            no_site(host, fronting)
        } else {
            continue;
        };
        return Err(wrong("--web", index, settings, problem));
    }
    Ok(web)
}

fn wrong(flag: &str, index: usize, settings: &[Setting], problem: WebProblem) -> ConfigError {
    at_nth(flag, index, settings, Problem::Web(problem))
}

fn without_hosts(flags: &Flags, settings: &[Setting]) -> Result<WebConfig, ConfigError> {
    let given = [
        ("--web-listen", !flags.web_listen.is_empty()),
        ("--web-site", !flags.web_site.is_empty()),
        ("--web-acme", flags.web_acme.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(wrong(flag, 0, settings, WebProblem::WithoutHost { flag })),
        None => Ok(WebConfig::default()),
    }
}

fn hosts(
    flags: &Flags,
    settings: &[Setting],
    secrets: &[NamedSecret],
    data_dir: &Path,
) -> Result<Vec<WebHost>, ConfigError> {
    let mut hosts: Vec<WebHost> = Vec::new();
    for (index, flag) in flags.web.iter().enumerate() {
        let wrong = |problem| wrong("--web", index, settings, problem);
        let same_name = || hosts.iter().filter(|host| host.name == flag.name);
        if same_name().any(|host| host.path == flag.path) {
            return Err(wrong(WebProblem::SameHost {
                name: flag.name.clone(),
                path: flag.path.clone(),
            }));
        }
        let mut known = same_name().filter_map(|host| host.files.as_ref());
        if let (Some(files), Some(known)) = (&flag.files, known.next())
            && files != known
        {
            let name = flag.name.clone();
            return Err(wrong(WebProblem::TwoCertificates { name }));
        }
        hosts.push(WebHost {
            name: flag.name.clone(),
            path: flag.path.clone(),
            files: flag.files.clone(),
            secrets: chosen(flag, secrets).map_err(wrong)?,
        });
    }
    let with_files = hosts.clone();
    for host in &mut hosts {
        let mut others = with_files.iter().filter(|other| other.name == host.name);
        let given = others.find_map(|other| other.files.clone());
        let acme = flags.web_acme.as_ref();
        let own = || Some(acme?.files(data_dir, &host.name));
        host.files = given.or_else(own);
    }
    Ok(hosts)
}

fn chosen(flag: &WebHostFlag, secrets: &[NamedSecret]) -> Result<Vec<NamedSecret>, WebProblem> {
    if flag.secrets.is_empty() {
        return Ok(secrets.to_vec());
    }
    let named = flag.secrets.iter().map(|name| {
        let found = secrets.iter().find(|secret| secret.name == *name);
        let name = name.clone();
        found.cloned().ok_or(WebProblem::NoSuchSecret { name })
    });
    named.collect()
}

fn listen(
    flags: &Flags,
    settings: &[Setting],
    taken: &[SocketAddr],
) -> Result<Vec<WebListen>, ConfigError> {
    let mut taken = taken.to_vec();
    let mut listen = Vec::new();
    for (index, flag) in flags.web_listen.iter().enumerate() {
        for one in expand(flag) {
            let address = one.addr;
            if let Some(other) = taken.iter().find(|other| overlap(**other, address)) {
                let other = *other;
                let problem = WebProblem::ListenInTheWay { address, other };
                return Err(wrong("--web-listen", index, settings, problem));
            }
            taken.push(address);
            listen.push(one);
        }
    }
    Ok(listen)
}

/// One flag's doors: two where it names no address.
fn expand(flag: &WebListenFlag) -> Vec<WebListen> {
    let one = |addr: SocketAddr, optional| WebListen {
        addr,
        optional,
        trust: flag.trust.clone(),
        header: flag.header.clone(),
    };
    match flag.place {
        ListenPlace::One(addr) => vec![one(addr, false)],
        ListenPlace::Everywhere(port) => vec![
            one((Ipv4Addr::UNSPECIFIED, port).into(), false),
            one((Ipv6Addr::UNSPECIFIED, port).into(), true),
        ],
    }
}

/// Those that were given, and that of `--fronting` where none is for all hosts.
fn sites(
    flags: &Flags,
    settings: &[Setting],
    fronting: &Fronting,
) -> Result<Vec<CoverSite>, ConfigError> {
    let mut sites: Vec<CoverSite> = Vec::new();
    for (index, flag) in flags.web_site.iter().enumerate() {
        let name = flag.host.clone();
        if sites.iter().any(|site| site.host == name) {
            let problem = WebProblem::SameSite { name };
            return Err(wrong("--web-site", index, settings, problem));
        }
        sites.push(CoverSite {
            host: name,
            source: flag.source.clone(),
        });
    }
    let is_for_all = sites.iter().any(|site| site.host.is_none());
    if !is_for_all && cfg!(feature = "tls") && matches!(fronting.choice, FrontingChoice::Site(_)) {
        sites.push(CoverSite {
            host: None,
            source: CoverSource::Fronting,
        });
    }
    Ok(sites)
}

fn no_site(host: &WebHost, fronting: &Fronting) -> WebProblem {
    let name = host.name.clone();
    match fronting.choice {
        FrontingChoice::Site(_) => WebProblem::FrontingNeedsTls { name },
        FrontingChoice::Off | FrontingChoice::ByName | FrontingChoice::Own => {
            WebProblem::NoSite { name }
        }
    }
}

/// Each is of a host, and none is this process.
fn check_sites(
    web: &WebConfig,
    flags: &Flags,
    settings: &[Setting],
    taken: &[SocketAddr],
) -> Result<(), ConfigError> {
    let own: Vec<SocketAddr> = taken
        .iter()
        .copied()
        .chain(web.listen.iter().map(|listen| listen.addr))
        .collect();
    for (index, site) in flags.web_site.iter().enumerate() {
        if let Some(name) = &site.host
            && !web.hosts.iter().any(|host| host.name == *name)
        {
            let name = name.clone();
            let problem = WebProblem::SiteOfNoHost { name };
            return Err(wrong("--web-site", index, settings, problem));
        }
        let CoverSource::Origin(url) = &site.source else {
            continue;
        };
        if let Some(own) = own.iter().find(|own| is_at(url, **own)) {
            let problem = WebProblem::SiteIsOurselves { own: *own };
            return Err(wrong("--web-site", index, settings, problem));
        }
        let mut hosts = web.hosts.iter().map(|host| &host.name);
        if let Some(name) = hosts.find(|name| is_shown_at(name, url)) {
            let name = name.clone();
            let problem = WebProblem::SiteIsHost { name };
            return Err(wrong("--web-site", index, settings, problem));
        }
    }
    Ok(())
}

/// Apps find a host on that port, so it leads to us.
fn is_shown_at(name: &HostName, url: &Url) -> bool {
    url.is_tls && url.port == 443 && url.host.eq_ignore_ascii_case(name.as_str())
}

fn is_at(url: &Url, own: SocketAddr) -> bool {
    let place = match Host::alone(&url.host) {
        Some(Host::Address(ip)) => HostPort::Address((ip, url.port).into()),
        Some(Host::Name(name)) => HostPort::Name {
            name,
            port: url.port,
        },
        None => return false,
    };
    place.is_at(own)
}
