//! By which config a command goes that is given none: the one of this machine's service.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::commands::Command;
use crate::config::{ConfigError, Setting};

/// Where a service's flags are: those that OpenWrt's init script has rendered, for
/// as long as the machine runs, and those of `make install`.
const PLACES: [&str; 2] = ["/var/run/smol-mtproxy/flags", USUAL];

/// The one of `make install`; messages name it.
pub(super) const USUAL: &str = "/etc/smol-mtproxy.conf";

/// Where a command has its config from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Flags of the config, `--config` or others, are on the command line.
    Given,
    /// None is, and this machine's service has this file.
    Service(&'static Path),
    /// There is no such file either.
    Defaults,
}

impl Basis {
    /// The proxy itself runs with what it is given, and nothing else.
    pub(crate) fn of(command: &Command, settings: &[Setting]) -> Self {
        let takes_none = match command {
            Command::Run(_) => true,
            // In a build that has it not, it only says that.
            Command::Check(_) => !cfg!(feature = "check"),
            Command::Ctl(_) | Command::User(_) => !cfg!(feature = "ctl"),
            // It goes by no config.
            Command::Ping(_) => true,
            _ => false,
        };
        if takes_none || !settings.is_empty() {
            return Self::Given;
        }
        file().map_or(Self::Defaults, Self::Service)
    }
}

/// The file of this machine's service.
pub(super) fn file() -> Option<&'static Path> {
    PLACES.iter().map(Path::new).find(|place| is_there(place))
}

/// Whether it is there, or may be: in a directory that this user may not enter.
fn is_there(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// If `error` is that this user may not read a file of the service: that, and who may.
pub(super) fn forbidden(error: &ConfigError, command: &Command) -> Option<String> {
    let (path, error) = error.unread()?;
    // These do nothing without more words.
    let words = match command {
        Command::Ctl(_) | Command::User(_) => " …",
        _ => "",
    };
    (error.kind() == ErrorKind::PermissionDenied).then(|| {
        format!(
            "cannot read {}: {error}; try `sudo smol-mtproxy {}{words}`",
            path.display(),
            command.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::commands::RunProxy;
    use super::*;

    #[test]
    fn the_proxy_runs_with_what_it_is_given() {
        assert_eq!(
            Basis::of(&Command::Run(RunProxy::default()), &[]),
            Basis::Given
        );
    }

    #[test]
    fn a_file_in_a_closed_directory_may_be_there() {
        assert!(is_there(Path::new("/proc/self/status")));
        assert!(!is_there(Path::new("/proc/self/none")));
        assert!(!is_there(Path::new("/proc/self/status/none")));
    }
}
