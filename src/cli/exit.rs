use std::io;
use std::process::ExitCode;

use crate::config::{ConfigError, Origin, Problem};

/// How the program ends; the numbers of sysexits(3), as far as they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// A flag or command is wrong.
    Usage = 64,
    /// A file that the proxy keeps is damaged.
    Data = 65,
    /// The config file, or a file that it names, cannot be read.
    NoInput = 66,
    /// Telegram, a proxy or a port cannot be had.
    Unavailable = 69,
    /// The system has run out of something.
    OsError = 71,
    /// A file cannot be written.
    CannotCreate = 73,
    /// The user may not do that.
    Permission = 77,
    /// A line of the config file is wrong, or flags contradict each other.
    Config = 78,
}

impl Exit {
    /// For `--help`.
    pub(super) const MEANINGS: [(Self, &str); 9] = [
        (Self::Ok, "all is well, or stopped by SIGTERM or SIGINT"),
        (Self::Usage, "a flag or command is wrong"),
        (Self::Data, "a file in --data-dir is damaged"),
        (
            Self::NoInput,
            "the config file, or a file that it names, cannot be read; link: no secret",
        ),
        (
            Self::Unavailable,
            if cfg!(all(feature = "check", feature = "ping")) {
                "a port, Telegram or the proxy cannot be had; check: a verdict is fail; ping: a \
                 question is not answered"
            } else if cfg!(feature = "check") {
                "a port, Telegram or the proxy cannot be had; check: a verdict is fail"
            } else {
                "a port, Telegram or the proxy cannot be had"
            },
        ),
        (Self::OsError, "the system has run out of something"),
        (Self::CannotCreate, "a file cannot be written"),
        (Self::Permission, "not allowed for this user"),
        (
            Self::Config,
            "a line of the config file is wrong, or flags contradict each other",
        ),
    ];

    /// For a file that could not be read.
    pub(super) fn of_input(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission,
            _ => Self::NoInput,
        }
    }

    /// This one, or `next` if this one is `Ok`.
    pub(super) fn or(self, next: Self) -> Self {
        match self {
            Self::Ok => next,
            _ => self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&ConfigError> for Exit {
    fn from(error: &ConfigError) -> Self {
        if let Some((_, error)) = error.unread() {
            return Self::of_input(error);
        }
        match (&error.problem, &error.origin) {
            (
                Problem::KeptSecretDamaged { .. }
                | Problem::UsersEmpty { .. }
                | Problem::UsersDamaged { .. },
                _,
            ) => Self::Data,
            (
                Problem::UnknownFlag { .. }
                | Problem::UnknownCommand { .. }
                | Problem::ExtraWord { .. }
                | Problem::Usage { .. }
                | Problem::NoValue { .. }
                | Problem::BadValue { .. }
                | Problem::GivenTwice { .. },
                Some(Origin::CommandLine) | None,
            ) => Self::Usage,
            _ => Self::Config,
        }
    }
}
