use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::io::Errno;

use super::privileges::PrivilegeError;
use crate::cli::exit::Exit;
use crate::config::DataDirInUse;
use crate::guard::gate::GateError;
use crate::link::SetupError;
#[cfg(feature = "tls")]
use crate::telegram::AuthoritiesError;
use crate::web::FilesError;
#[cfg(feature = "acme")]
use crate::web::acme::AcmeError;
#[cfg(feature = "tls")]
use crate::web::tls::CertificatesError;

/// Why the proxy could not start.
#[derive(Debug)]
pub(super) enum RunError {
    System(io::Error),
    DataDir(PathBuf, DataDirInUse),
    /// By the flag that wants it.
    Listen(&'static str, SocketAddr, io::Error),
    Metrics(SocketAddr, io::Error),
    Link(SetupError),
    Gate(GateError),
    Site(FilesError),
    #[cfg(feature = "tls")]
    Certificates(CertificatesError),
    #[cfg(feature = "acme")]
    Acme(AcmeError),
    #[cfg(feature = "tls")]
    Authorities(AuthoritiesError),
    User(PrivilegeError),
}

impl RunError {
    /// Of one about an address.
    pub(crate) fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Listen(_, _, error) | Self::Metrics(_, error) => Some(error.kind()),
            _ => None,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::System(_) => Exit::OsError,
            Self::DataDir(..) => Exit::Unavailable,
            Self::Gate(error) => match error.unread() {
                Some(error) => Exit::of_input(error),
                None => Exit::Config,
            },
            Self::Site(error) => match error.unread() {
                Some(error) => Exit::of_input(error),
                None => Exit::Config,
            },
            #[cfg(feature = "tls")]
            Self::Certificates(error) => match error.unread() {
                Some(error) => Exit::of_input(error),
                None => Exit::Config,
            },
            #[cfg(feature = "acme")]
            Self::Acme(error) => match error.unread() {
                Some(error) => Exit::of_input(error),
                None => Exit::Config,
            },
            Self::User(PrivilegeError::UnknownUser(_)) => Exit::Config,
            Self::User(_) => Exit::Permission,
            #[cfg(feature = "tls")]
            Self::Link(SetupError::Unreadable(_, error)) => Exit::of_input(error),
            #[cfg(feature = "tls")]
            Self::Link(SetupError::Unusable(..)) => Exit::Config,
            #[cfg(not(feature = "tls"))]
            Self::Link(never) => match *never {},
            #[cfg(feature = "tls")]
            Self::Authorities(AuthoritiesError::Unreadable(_, error)) => Exit::of_input(error),
            #[cfg(feature = "tls")]
            Self::Authorities(AuthoritiesError::Unusable(..)) => Exit::Config,
            Self::Listen(_, _, error) | Self::Metrics(_, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::Permission,
                _ => Exit::Unavailable,
            },
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(
                f,
                "the system gives no epoll or signal descriptors: {error}; is the limit of open \
                 files (ulimit -n) too low?"
            ),
            Self::DataDir(path, in_use) => {
                write!(f, "--data-dir {} is in use by ", path.display())?;
                match in_use.process {
                    Some(process) => write!(f, "process {process}")?,
                    None => f.write_str("another process")?,
                }
                f.write_str(
                    ", and two would overwrite what secrets have used of quotas: stop that one, or \
                     give this one a directory of its own with --data-dir",
                )
            }
            Self::Gate(error) => error.fmt(f),
            Self::User(error) => error.fmt(f),
            Self::Listen(flag, address, error) => cannot_listen(f, flag, *address, error),
            Self::Metrics(address, error) => cannot_listen(f, "--metrics", *address, error),
            Self::Link(error) => error.fmt(f),
            Self::Site(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Certificates(error) => error.fmt(f),
            #[cfg(feature = "acme")]
            Self::Acme(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Authorities(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

fn cannot_listen(
    f: &mut fmt::Formatter<'_>,
    flag: &str,
    address: SocketAddr,
    error: &io::Error,
) -> fmt::Result {
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => "another program has that port: stop it or choose another",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose one above"
        }
        io::ErrorKind::AddrNotAvailable if flag != "--metrics" => {
            "that is not an address of this machine: if it comes later, write ,late behind it"
        }
        io::ErrorKind::AddrNotAvailable => "that is not an address of this machine",
        _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            "raise the limit of open files (LimitNOFILE= in systemd, nofile on OpenWrt, ulimit -n)"
        }
        _ => "choose another address",
    };
    write!(f, "{flag} {address}: {error}; {way_out}")
}
