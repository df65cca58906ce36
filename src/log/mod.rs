//! Lines on stderr: `time level message`, one each, or with `--log-format json` an object
//! each.
//!
//! | File | What |
//! |---|---|
//! | `level` | how much a line matters |
//! | `form` | who reads the lines |
//! | `line` | a line as text and as JSON |
//! | `address` | addresses in lines, as `--log-addresses` wants them |
//! | `recent` | the last warnings and errors, for who asks |
//! | `throttle` | lines that come in swarms |
//! | `queue` | lines that wait for their reader |
//! | `writer` | the thread that writes them |
//!
//! Under journald (systemd sets `JOURNAL_STREAM`) the time is left out of text and the
//! level becomes its `<N>` prefix, before an object too. Under procd (OpenWrt's init script
//! sets `SMOL_MTPROXY_LOG=procd`) the time is left out as well, and the level becomes the
//! stream: info, debug and trace go to stdout, which procd logs as `daemon.info`, the rest
//! to stderr, `daemon.err`. Secrets never get here: their types print nothing of
//! themselves with `Debug`.
//!
//! A command writes its lines itself. `run` hands them to a thread ([`detach`]):
//! whoever reads them may stand still, and then lines are lost, not time.

mod address;
mod form;
mod level;
mod line;
mod queue;
#[cfg(feature = "ctl")]
mod recent;
mod throttle;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(feature = "ctl")]
pub(crate) use address::Masked;
pub(crate) use address::{Address, LogAddresses};
pub(crate) use level::LogLevel;
pub(crate) use line::{LogFormat, one_line, room};
#[cfg(feature = "ctl")]
pub(crate) use recent::{Recent, recent};
pub(crate) use throttle::{Skipped, Throttle, Throttles, Trouble};
pub(crate) use writer::{detach, finish, lost};

use form::{Form, form};
use line::format_line;

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

/// What the operator wants of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
    pub(crate) addresses: LogAddresses,
}

/// Lines are as `config` wants them from now on.
pub(crate) fn go_by(config: LogConfig) {
    set_level(config.level);
    line::set_format(config.format);
    address::show(config.addresses);
}

/// Writes the lines up to `level` from now on.
pub(crate) fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether lines of this level are written.
pub(crate) fn is_enabled(level: LogLevel) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line; what the macros call.
pub(crate) fn write(level: LogLevel, room: &'static str, message: fmt::Arguments<'_>) {
    if is_enabled(level) {
        let line = format_line(level, room, message, form(), line::format());
        writer::write(line.as_bytes());
    }
    #[cfg(feature = "ctl")]
    if level <= LogLevel::Warn {
        recent::remember(level, message.to_string());
    }
}

/// Writes a line that comes in swarms; what `say!` calls. If its throttle
/// lets it pass, it gets its level and the count of those before it; else it is written
/// as debug.
pub(crate) fn say(
    passed: Option<Skipped>,
    level: LogLevel,
    room: &'static str,
    message: fmt::Arguments<'_>,
) {
    let (level, skipped) = throttle::told(passed, level);
    write(level, room, format_args!("{message}{skipped}"));
}

/// A line of a command, or of a start that fails: `smol-mtproxy: message`, with what the
/// journal wants before it, or as an object.
pub(crate) fn command_line(level: LogLevel, message: &dyn fmt::Display) -> String {
    match (line::format(), form()) {
        (format @ LogFormat::Json, form) => {
            format_line(level, "cli", format_args!("{message}"), form, format)
        }
        (LogFormat::Text, form) => {
            let prefix = match form {
                Form::Journald => format!("<{}>", level.journald_priority()),
                Form::Plain | Form::Procd => String::new(),
            };
            let message = one_line(message.to_string());
            format!("{prefix}smol-mtproxy: {message}\n")
        }
    }
}

macro_rules! error {
    ($($part:tt)*) => {
        $crate::log::write(
            $crate::log::LogLevel::Error,
            const { $crate::log::room(module_path!()) },
            format_args!($($part)*),
        )
    };
}

macro_rules! warn {
    ($($part:tt)*) => {
        $crate::log::write(
            $crate::log::LogLevel::Warn,
            const { $crate::log::room(module_path!()) },
            format_args!($($part)*),
        )
    };
}

macro_rules! info {
    ($($part:tt)*) => {
        $crate::log::write(
            $crate::log::LogLevel::Info,
            const { $crate::log::room(module_path!()) },
            format_args!($($part)*),
        )
    };
}

macro_rules! debug {
    ($($part:tt)*) => {
        $crate::log::write(
            $crate::log::LogLevel::Debug,
            const { $crate::log::room(module_path!()) },
            format_args!($($part)*),
        )
    };
}

/// A line behind a [`Throttle`]:
/// `say!(throttle.pass(now), Warn, "it fails: {error}")`.
macro_rules! say {
    ($passed:expr, $level:ident, $($part:tt)*) => {
        $crate::log::say(
            $passed,
            $crate::log::LogLevel::$level,
            const { $crate::log::room(module_path!()) },
            format_args!($($part)*),
        )
    };
}
