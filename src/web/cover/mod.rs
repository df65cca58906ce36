//! The cover: the site that everybody without a secret sees on a WEB host. Its answers
//! pass unchanged, and so do the requests.
//!
//! | File | What |
//! |---|---|
//! | `visit.rs` | a client's connection at the cover |
//! | `transfer.rs` | one request to the site and its answer, as they come |
//! | `raw.rs` | bytes handed on both ways, whatever they are |
//! | `flow.rs` | what goes to one side, and waits for it |
//! | `patience.rs` | ends what does not move any more |
//! | `site.rs` | where a site is, and connections to it |
//! | `site_tls.rs` | TLS on these |
//! | `kept.rs` | one of them, kept for a client's requests |
//! | `guests.rs` | how many there may be |
//! | `directory.rs` | answers from a directory |
//! | `files.rs` | what is in it, read at the start |
//! | `site_path.rs` | where a target leads in there |
//! | `selection.rs` | what of a file a request wants |
//! | `content_type.rs` | what the end of a file's name says |
//! | `local.rs` | answers of ours where there is no site that could give one |

mod content_type;
mod directory;
mod files;
mod flow;
mod guests;
mod kept;
mod local;
mod patience;
mod raw;
mod selection;
mod site;
mod site_path;
#[cfg(feature = "tls")]
mod site_tls;
#[cfg(test)]
mod tests;
mod transfer;
mod visit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::client::Peer;
use crate::config::{CoverSource, Fronting, FrontingChoice, WebConfig};
use crate::http::HttpContext;
use crate::net::Executor;
use crate::wire::web::HostName;
use files::Files;
pub(crate) use files::FilesError;
pub(crate) use guests::Guests;
use site::Site;
#[cfg(feature = "tls")]
pub(crate) use site_tls::SiteTls;
pub(crate) use visit::Visit;

/// What covers are made with.
pub(crate) struct CoverContext {
    pub(crate) http: Rc<HttpContext>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) guests: Rc<Guests>,
    #[cfg(feature = "tls")]
    pub(crate) tls: SiteTls,
}

/// What is shown at a host.
pub(crate) struct Cover {
    context: Rc<CoverContext>,
    source: Source,
}

enum Source {
    Site(Site),
    Directory(Arc<Files>),
}

impl Cover {
    /// For a client's connection. It asks no site before it has to.
    pub(crate) fn visit(self: &Rc<Self>, peer: Peer) -> Visit {
        Visit::new(self, peer)
    }
}

/// The directories of a config, read.
pub(crate) struct Directories(BTreeMap<PathBuf, Arc<Files>>);

impl Directories {
    /// Blocks.
    pub(crate) fn read(config: &WebConfig) -> Result<Self, FilesError> {
        let mut read = BTreeMap::new();
        for site in &config.sites {
            if let CoverSource::Directory(path) = &site.source {
                read.insert(path.clone(), Arc::new(Files::read(path)?));
            }
        }
        Ok(Self(read))
    }

    fn of(&self, path: &Path) -> Source {
        Source::Directory(self.0.get(path).cloned().unwrap_or_default())
    }
}

/// What is shown at each host of `config`, and at other names. `directories` are those of
/// that config.
pub(crate) fn covers(
    context: &Rc<CoverContext>,
    config: &WebConfig,
    fronting: &Fronting,
    directories: &Directories,
) -> Vec<(Option<HostName>, Rc<Cover>)> {
    let first = config.hosts.first().map(|host| &host.name);
    let cover = |host: Option<&HostName>| {
        let source = match config.site_of(host) {
            Some(CoverSource::Origin(url)) => Source::Site(Site::of_url(url)),
            Some(CoverSource::Directory(path)) => directories.of(path),
            Some(CoverSource::Fronting) => match &fronting.choice {
                FrontingChoice::Site(place) => {
                    let name = host.or(first).map_or("", HostName::as_str);
                    Source::Site(Site::fronting(place, name, fronting.proxy_protocol))
                }
                FrontingChoice::Off | FrontingChoice::ByName | FrontingChoice::Own => {
                    Source::Directory(Arc::default())
                }
            },
            None => Source::Directory(Arc::default()),
        };
        let context = context.clone();
        (host.cloned(), Rc::new(Cover { context, source }))
    };
    let hosts = config.hosts.iter().map(|host| Some(&host.name));
    hosts.chain([None]).map(cover).collect()
}
