//! What is shown at which host.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::context::CoverContext;
use super::files::{Files, FilesError};
use super::site::Site;
use crate::config::{CoverSource, Fronting, FrontingChoice, WebConfig};
use crate::wire::web::HostName;

/// What is shown at a host.
pub(crate) struct Cover {
    pub(super) context: Rc<CoverContext>,
    pub(super) source: Source,
}

pub(super) enum Source {
    Site(Site),
    Directory(Arc<Files>),
}

/// The directories of a config, read.
pub(crate) struct Directories(Vec<(PathBuf, Arc<Files>)>);

impl Directories {
    /// Blocks.
    pub(crate) fn read(config: &WebConfig) -> Result<Self, FilesError> {
        let mut read = Vec::new();
        for site in &config.sites {
            if let CoverSource::Directory(path) = &site.source
                && !read.iter().any(|(known, _)| known == path)
            {
                read.push((path.clone(), Arc::new(Files::read(path)?)));
            }
        }
        Ok(Self(read))
    }

    fn of(&self, path: &Path) -> Source {
        let found = self.0.iter().find(|(read, _)| read == path);
        Source::Directory(found.map(|(_, files)| files.clone()).unwrap_or_default())
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
