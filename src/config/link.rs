use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Problem};
use super::files::read_file;
use super::flags::{Build, Flag, Flags, find};
use super::host::HostPort;
use super::listen::{LinkListenFlag, ListenPlace};
use super::listen_address::ListenAddress;
use super::machine::LinkPlaces;
use super::network::Reach;
use super::role::Role;
use super::settings::{self, Setting};
use crate::wire::secret::Domain;

/// The link between front and back; in role [`Role::Both`] empty but for
/// its places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkConfig {
    /// Of a front: where its backs are. At least one.
    pub backs: Vec<HostPort>,
    /// Of a back: where links are taken, at least one.
    pub listen: Vec<ListenAddress>,
    /// At least one of these two.
    pub tls: Option<LinkTls>,
    pub key: Option<LinkKey>,
    /// Without TLS, even where everyone on the way can read it.
    pub plain_on_public: bool,
    /// How long a client waits for a link.
    pub wait: Duration,
    /// To each back.
    pub connections: usize,
    pub places: LinkPlaces,
}

/// Certificates, as PEM files, and what an onlooker sees of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub sni: Option<Domain>,
    pub alpn: Vec<String>,
    /// Of a back: fingerprints of certificates that get no link.
    pub refuse: Option<PathBuf>,
}

/// What both ends of a link know. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkKey(Vec<u8>);

impl LinkKey {
    /// Too much to be guessed, as 32 hex digits are.
    const MIN: usize = 32;

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

/// Longer than any key.
const LONGEST_KEY: u64 = 64 * 1024;

/// What browsers and web servers offer.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// The link's flags, without contradictions.
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
        key: flags.link_psk.as_deref().map(read_key).transpose()?,
        plain_on_public: flags.link_plain_on_public.is_some_and(|yes| yes.0),
        wait: Duration::from_secs(flags.link_wait.map_or(5, |seconds| seconds.0)),
        connections: flags.link_connections.map_or(1, |count| count.0 as usize),
        // Known once descriptors are shared out.
        places: LinkPlaces::default(),
    };
    if link.tls.is_none() && link.key.is_none() {
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

impl LinkConfig {
    /// Whether a link at `address` could be read by everyone on its way, and
    /// nobody has allowed that.
    pub fn forbids(&self, address: SocketAddr) -> bool {
        self.tls.is_none() && !self.plain_on_public && Reach::of(address.ip()) != Reach::Ours
    }
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
    let is_of_tls = |flag: &Flag| flag.build == Build::Tls;
    let mut given = settings.iter().filter_map(|setting| find(&setting.flag));
    if !given.any(is_of_tls) {
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

fn read_key(path: &Path) -> Result<LinkKey, ConfigError> {
    let text = read_file(path, LONGEST_KEY).map_err(|error| {
        let path = path.to_owned();
        ConfigError::new(Problem::LinkKeyUnreadable { path, error })
    })?;
    let key = text.trim_ascii().to_vec();
    if key.len() < LinkKey::MIN {
        let path = path.to_owned();
        return Err(ConfigError::new(Problem::LinkKeyShort { path }));
    }
    Ok(LinkKey(key))
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
