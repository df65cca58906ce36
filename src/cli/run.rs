//! `run`: joins the rooms together and keeps them running.

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "ctl")]
mod control;
mod ports;
mod privileges;
mod reload;
mod replays;
mod server;
mod settings;
mod signals;
mod test;
mod usage;
mod welcome;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::set_no_new_privs;

use super::complain;
use super::exit::Exit;
use crate::config::{Config, ConfigSource, DataDirInUse};
use crate::guard::gate::GateError;
use crate::link::SetupError;
use crate::log;
use crate::net::Reactor;

pub(super) use test::test;
pub(super) use usage::{FILE as USAGE_FILE, LONGEST as LONGEST_USAGE};

use privileges::PrivilegeError;
use server::Server;
use signals::Hangups;

/// How long the log's reader gets for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Why the proxy could not start.
#[derive(Debug)]
enum RunError {
    System(io::Error),
    DataDir(PathBuf, DataDirInUse),
    Listen(SocketAddr, io::Error),
    Metrics(SocketAddr, io::Error),
    LinkListen(SocketAddr, io::Error),
    Link(SetupError),
    Gate(GateError),
    User(PrivilegeError),
}

/// What comes before the config is read, and while there is no other thread.
pub(super) fn begin() -> io::Result<Hangups> {
    // It runs no other program, and one that it was made to run shall gain nothing by
    // a set-user-ID bit. Kernels before 3.5 and some sandboxes refuse to promise
    // that; the proxy does as well without.
    let _ = set_no_new_privs(true);
    Hangups::catch()
}

/// Runs the proxy until a signal ends it. `source` gives the config again at
/// SIGHUP.
pub(super) fn run(source: &ConfigSource, config: Config, begun: io::Result<Hangups>) -> Exit {
    let begun = begun.map_err(RunError::System);
    match begun.and_then(|hangups| start(source, &Rc::new(config), hangups)) {
        Ok(()) => Exit::Ok,
        Err(error) => complain(error.exit(), error),
    }
}

fn start(source: &ConfigSource, config: &Rc<Config>, hangups: Hangups) -> Result<(), RunError> {
    let reactor = Reactor::new().map_err(RunError::System)?;
    let server = Server::new(&reactor, config.clone(), hangups)?;
    if let Some(user) = &config.process.user {
        let control = server.control.get().map(PathBuf::as_path);
        let sockets = server.ports.all_sockets();
        privileges::give_up(user, &config.process.data_dir, control, &sockets)
            .map_err(RunError::User)?;
    }
    // Not before: that a user is given up holds for later threads alone.
    if let Err(error) = log::detach() {
        warn!(
            "no thread for the log: {error}; if its reader stands still, so does the proxy: is the \
             limit of processes (ulimit -u) too low?"
        );
    }
    let executor = server.executor.clone();
    reactor.block_on(&executor, server.serve(source));
    log::finish(LAST_LINES);
    Ok(())
}

impl RunError {
    /// Of one about an address.
    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Listen(_, error) | Self::Metrics(_, error) | Self::LinkListen(_, error) => {
                Some(error.kind())
            }
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::System(_) => Exit::OsError,
            Self::DataDir(..) => Exit::Unavailable,
            Self::Gate(error) => match error.unread() {
                Some(error) => Exit::of_input(error),
                None => Exit::Config,
            },
            Self::User(PrivilegeError::UnknownUser(_)) => Exit::Config,
            Self::User(_) => Exit::Permission,
            Self::Link(SetupError::Unreadable(_, error)) => Exit::of_input(error),
            Self::Link(SetupError::Unusable(..)) => Exit::Config,
            Self::Listen(_, error) | Self::Metrics(_, error) | Self::LinkListen(_, error) => {
                match error.kind() {
                    io::ErrorKind::PermissionDenied => Exit::Permission,
                    _ => Exit::Unavailable,
                }
            }
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
            Self::Listen(address, error) => cannot_listen(f, "--listen", *address, error),
            Self::Metrics(address, error) => cannot_listen(f, "--metrics", *address, error),
            Self::LinkListen(address, error) => cannot_listen(f, "--link-listen", *address, error),
            Self::Link(error) => error.fmt(f),
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
