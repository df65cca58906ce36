//! The WEB proxy: its hosts, where web servers hand their requests to us, and the sites
//! that everybody without a secret sees there.
//!
//! | File | What it has |
//! |---|---|
//! | `host_flag`, `listen_flag`, `site_flag` | the values of `--web`, `--web-listen` and `--web-site` |
//! | `acme_flag` | that of `--web-acme`, and where what is got by it is kept |
//! | `problem` | what contradicts itself in them, and the way out |

mod acme_flag;
mod host_flag;
mod listen_flag;
mod problem;
mod site_flag;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::doors::{NamedSecret, add_old};
use super::network::Network;
use super::old_secret::OldSecret;
use crate::wire::http::Url;
use crate::wire::web::{BasePath, HostName};
pub(crate) use acme_flag::AcmeConfig;
pub(super) use host_flag::WebHostFlag;
pub(super) use listen_flag::WebListenFlag;
pub(super) use problem::WebProblem;
pub(super) use site_flag::WebSiteFlag;

/// There is no WEB proxy where there is no host; then all of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebConfig {
    /// No two have a name and a path in common. The first one is the default.
    pub(crate) hosts: Vec<WebHost>,
    /// No two share an address, with listeners neither.
    pub(crate) listen: Vec<WebListen>,
    /// One for each host, by its name or for all that have none.
    pub(crate) sites: Vec<CoverSite>,
    /// `--web-acme`: hosts without files of others get theirs so.
    pub(crate) acme: Option<AcmeConfig>,
}

/// `--web`: a host with the path below which its bridge page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebHost {
    pub(crate) name: HostName,
    pub(crate) path: Option<BasePath>,
    /// With none it has no TLS of ours; then a web server in front of us has it. The same
    /// for all paths of a name.
    pub(crate) files: Option<CertificateFiles>,
    /// Those that were chosen, or all of [`DoorConfig::secrets`](super::DoorConfig).
    pub(crate) secrets: Vec<NamedSecret>,
}

/// PEM files, written by others or by ACME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The certificate, and those of its authorities behind it.
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// We write it ourselves, both in one file, when an authority has given us one.
    pub(crate) is_own: bool,
}

/// `--web-listen`: where a web server or a CDN hands requests on, without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebListen {
    pub(crate) addr: SocketAddr,
    /// The IPv6 half of "all addresses": a machine without IPv6 does without.
    pub(crate) optional: bool,
    /// Who may say in `header` which address a request is from.
    pub(crate) trust: Vec<Network>,
    /// The name of a header field, as given.
    pub(crate) header: String,
}

/// What everybody without a secret sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoverSite {
    /// With none it is for all hosts without one of their own, and for other names.
    pub(crate) host: Option<HostName>,
    pub(crate) source: CoverSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CoverSource {
    /// Its path is `/`.
    Origin(Url),
    Directory(PathBuf),
    /// The site of `--fronting`, over TLS.
    Fronting,
}

impl WebConfig {
    /// Whether there is a WEB proxy at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Whether the ports of clients have TLS of ours.
    pub(crate) fn has_tls(&self) -> bool {
        self.hosts.iter().any(|host| host.files.is_some())
    }

    /// Whether some host's certificate is ours to get.
    pub(crate) fn gets_certificates(&self) -> bool {
        let mut files = self.hosts.iter().filter_map(|host| host.files.as_ref());
        files.any(|files| files.is_own)
    }

    /// The door on this address.
    pub(crate) fn door(&self, address: SocketAddr) -> Option<&WebListen> {
        self.listen.iter().find(|listen| listen.addr == address)
    }

    /// Whether something is shown there to who has no secret.
    pub(super) fn has_site(&self, host: &WebHost) -> bool {
        let is_for = |site: &CoverSite| site.host.as_ref().is_none_or(|name| *name == host.name);
        self.sites.iter().any(is_for)
    }

    /// Lets these secrets open the hosts that all opened, which were `before`.
    pub(super) fn add_secrets(&mut self, before: &[NamedSecret], secrets: &[NamedSecret]) {
        for host in self.hosts.iter_mut().filter(|host| host.secrets == before) {
            host.secrets = secrets.to_vec();
        }
    }

    /// Lets a secret that a user had before open what the new one does.
    pub(super) fn add_old(&mut self, old: &OldSecret) {
        for host in &mut self.hosts {
            add_old(&mut host.secrets, old);
        }
    }

    pub(super) fn lacks_secrets(&self) -> bool {
        self.hosts.iter().any(|host| host.secrets.is_empty())
    }

    /// What is shown at `host`; at another name than those of hosts, the first host's.
    pub(crate) fn site_of(&self, host: Option<&HostName>) -> Option<&CoverSource> {
        let of =
            |host: Option<&HostName>| self.sites.iter().find(|site| site.host.as_ref() == host);
        let first = || self.hosts.first().and_then(|host| of(Some(&host.name)));
        let own = host.and_then(|host| of(Some(host)));
        let site = own.or_else(|| of(None)).or_else(first)?;
        Some(&site.source)
    }
}
