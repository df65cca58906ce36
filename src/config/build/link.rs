use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::error::{ConfigError, Problem};
use super::super::files::read_file;
use super::super::flags::{Build, Flags, find};
use super::super::host::HostPort;
use super::super::link::{LinkConfig, LinkKey, LinkTls};
use super::super::listen::{LinkListenFlag, ListenPlace};
use super::super::listen_address::ListenAddress;
use super::super::machine::LinkPlaces;
use super::super::settings::{self, Setting};
use super::super::values::Role;

/// Longer than any key.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// What browsers and web servers offer.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// The link's flags, without contradictions, and without what its files hold.
pub(super) fn build(flags: &Flags, settings: &[Setting]) -> Result<LinkConfig, ConfigError> {
    let role = flags.role.unwrap_or_default();
    settings::check_role(role, settings)?;
    check_needs(role, flags)?;
    if role == Role::Both {
        return Ok(LinkConfig::default());
    }
    let link = LinkConfig {
        backs: flags.link.clone(),
        listen: flags.link_listen.iter().flat_map(expand).collect(),
        tls: tls(flags, settings)?,
        key_file: flags.link_psk.clone(),
        key: None,
        plain_on_public: flags.link_plain_on_public.is_some_and(|yes| yes.0),
        wait: Duration::from_secs(flags.link_wait.map_or(5, |seconds| seconds.0)),
        connections: flags.link_connections.map_or(1, |count| count.0 as usize),
        // Known once descriptors are shared out.
        places: LinkPlaces::default(),
    };
    if link.tls.is_none() && link.key_file.is_none() {
        return Err(ConfigError::new(Problem::LinkUnsecured));
    }
    // Where a name leads to is seen when it is dialled.
    let backs = link.backs.iter().filter_map(|back| match back {
        HostPort::Address(address) => Some(*address),
        HostPort::Name { .. } => None,
    });
    let mut ends = link.listen.iter().map(|place| place.address).chain(backs);
    if let Some(address) = ends.find(|end| link.forbids(*end)) {
        return Err(ConfigError::new(Problem::PlainOnPublic { address }));
    }
    Ok(link)
}

fn check_needs(role: Role, flags: &Flags) -> Result<(), ConfigError> {
    let (role, flag) = match role {
        Role::Front if flags.link.is_empty() => ("front", "--link HOST:PORT of its back"),
        Role::Back if flags.link_listen.is_empty() => {
            ("back", "--link-listen ADDR:PORT for its fronts")
        }
        _ => return Ok(()),
    };
    Err(ConfigError::new(Problem::RoleNeeds { role, flag }))
}

fn tls(flags: &Flags, settings: &[Setting]) -> Result<Option<LinkTls>, ConfigError> {
    let mut given = settings.iter().filter_map(|setting| find(&setting.flag));
    if !given.any(|flag| flag.build == Build::Tls) {
        return Ok(None);
    }
    let file = |file: &Option<PathBuf>, missing| match file {
        Some(file) => Ok(file.clone()),
        None => Err(ConfigError::new(Problem::LinkTlsIncomplete { missing })),
    };
    let alpn = flags.link_alpn.as_ref().map(|names| names.0.clone());
    Ok(Some(LinkTls {
        ca: file(&flags.link_ca, "--link-ca")?,
        cert: file(&flags.link_cert, "--link-cert")?,
        key: file(&flags.link_key, "--link-key")?,
        sni: flags.link_sni.clone(),
        alpn: alpn.unwrap_or_else(|| ALPN.map(str::to_owned).to_vec()),
        refuse: flags.link_refuse.clone(),
    }))
}

pub(super) fn read_key(path: &Path) -> Result<LinkKey, ConfigError> {
    let text = read_file(path, MAX_KEY_FILE).map_err(|error| {
        let path = path.to_owned();
        ConfigError::new(Problem::LinkKeyUnreadable { path, error })
    })?;
    LinkKey::new(text.trim_ascii()).ok_or_else(|| {
        let path = path.to_owned();
        ConfigError::new(Problem::LinkKeyShort { path })
    })
}

fn expand(flag: &LinkListenFlag) -> Vec<ListenAddress> {
    let at = |ip: IpAddr, port| ListenAddress::new((ip, port).into());
    match flag.place {
        ListenPlace::One(address) => vec![ListenAddress {
            late: flag.late,
            ..ListenAddress::new(address)
        }],
        ListenPlace::Everywhere(port) => vec![
            at(Ipv4Addr::UNSPECIFIED.into(), port),
            ListenAddress {
                optional: true,
                ..at(Ipv6Addr::UNSPECIFIED.into(), port)
            },
        ],
    }
}
