//! Lines on stderr: `time level message`, one each.
//!
//! Under journald (systemd sets `JOURNAL_STREAM`) the time is left out and the
//! level becomes its `<N>` prefix. Under procd (OpenWrt's init script sets
//! `SMOL_MTPROXY_LOG=procd`) it is left out too, and the level becomes the stream:
//! info, debug and trace go to stdout, which procd logs as `daemon.info`, the rest
//! to stderr, `daemon.err`. Secrets never get here: their types print nothing of
//! themselves with `Debug`.
//!
//! A command writes its lines itself. `run` hands them to a thread ([`detach`]):
//! whoever reads them may stand still, and then lines are lost, not time.

mod queue;
#[cfg(feature = "ctl")]
mod recent;
mod throttle;
mod writer;

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(feature = "ctl")]
pub(crate) use recent::{Recent, recent};
pub(crate) use throttle::{Skipped, Throttle, Throttles, Trouble};
pub(crate) use writer::{detach, finish, lost};

use crate::clock::unix_now;
use crate::wire::calendar::time_text;

/// How much a line matters. Lines above the chosen level are not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static FORM: OnceLock<Form> = OnceLock::new();

/// Who reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Journald,
    Procd,
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
pub(crate) fn write(level: LogLevel, message: fmt::Arguments<'_>) {
    if is_enabled(level) {
        let line = format_line(level, message, form());
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
pub(crate) fn say(passed: Option<Skipped>, level: LogLevel, message: fmt::Arguments<'_>) {
    let (level, skipped) = throttle::told(passed, level);
    write(level, format_args!("{message}{skipped}"));
}

/// What a line that is written past the log begins with, so that the journal knows
/// how much it matters; nothing elsewhere.
pub(crate) fn priority(level: LogLevel) -> String {
    match form() {
        Form::Journald => format!("<{}>", level.journald_priority()),
        Form::Plain | Form::Procd => String::new(),
    }
}

fn form() -> Form {
    *FORM.get_or_init(|| {
        // procd itself gives no sign.
        if std::env::var_os("SMOL_MTPROXY_LOG").is_some_and(|reader| reader == "procd") {
            return Form::Procd;
        }
        // systemd.exec(5): "DEVICE:INODE", which a child whose stderr leads
        // elsewhere inherits too.
        let journal = std::env::var("JOURNAL_STREAM");
        match journal.is_ok_and(|journal| is_stderr(&journal).unwrap_or(false)) {
            true => Form::Journald,
            false => Form::Plain,
        }
    })
}

fn is_stderr(device_and_inode: &str) -> std::io::Result<bool> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    let stat = std::fs::File::from(stderr).metadata()?;
    Ok(device_and_inode == format!("{}:{}", stat.dev(), stat.ino()))
}

fn format_line(level: LogLevel, message: fmt::Arguments<'_>, form: Form) -> String {
    let mut line = match form {
        Form::Plain => format!("{} {level} {message}", time_text(unix_now())),
        Form::Journald => format!("<{}>{message}", level.journald_priority()),
        Form::Procd => format!("{level} {message}"),
    };
    // One event, one line, whatever a peer sent.
    line = one_line(line);
    line.push('\n');
    line
}

/// Whether a line goes to stdout: its level is all that tells a reader by procd of
/// how much it matters.
fn is_for_stdout(line: &[u8], form: Form) -> bool {
    let quiet: [&[u8]; 3] = [b"info ", b"debug ", b"trace "];
    form == Form::Procd && quiet.iter().any(|level| line.starts_with(level))
}

/// `text` without what moves a terminal's cursor or ends a line.
pub(crate) fn one_line(text: String) -> String {
    match text.contains(|c: char| c.is_control()) {
        true => text.replace(|c: char| c.is_control(), " "),
        false => text,
    }
}

impl LogLevel {
    const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// Syslog's numbers.
    fn journald_priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug | Self::Trace => 7,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let found = Self::ALL.into_iter().find(|l| l.to_string() == text);
        found.ok_or(UnknownLevel)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected error, warn, info, debug or trace")
    }
}

impl std::error::Error for UnknownLevel {}

macro_rules! error {
    ($($part:tt)*) => { $crate::log::write($crate::log::LogLevel::Error, format_args!($($part)*)) };
}

macro_rules! warn {
    ($($part:tt)*) => { $crate::log::write($crate::log::LogLevel::Warn, format_args!($($part)*)) };
}

macro_rules! info {
    ($($part:tt)*) => { $crate::log::write($crate::log::LogLevel::Info, format_args!($($part)*)) };
}

macro_rules! debug {
    ($($part:tt)*) => { $crate::log::write($crate::log::LogLevel::Debug, format_args!($($part)*)) };
}

/// A line behind a [`Throttle`]:
/// `say!(throttle.pass(now), Warn, "it fails: {error}")`.
macro_rules! say {
    ($passed:expr, $level:ident, $($part:tt)*) => {
        $crate::log::say($passed, $crate::log::LogLevel::$level, format_args!($($part)*))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_a_terminal_one_for_journald_and_one_for_procd() {
        let warn = |form| format_line(LogLevel::Warn, format_args!("x {}", 1), form);
        let line = warn(Form::Plain);
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(time.len(), "2026-01-02T03:04:05Z".len());
        assert_eq!(rest, "warn x 1\n");
        assert_eq!(warn(Form::Journald), "<4>x 1\n");
        assert_eq!(warn(Form::Procd), "warn x 1\n");
    }

    #[test]
    fn what_matters_little_goes_to_stdout_under_procd_alone() {
        for level in LogLevel::ALL {
            for form in [Form::Plain, Form::Journald, Form::Procd] {
                let line = format_line(level, format_args!("info"), form);
                let wanted = form == Form::Procd && level >= LogLevel::Info;
                let is_out = is_for_stdout(line.as_bytes(), form);
                assert_eq!(is_out, wanted, "{form:?}: {line}");
            }
        }
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let line = format_line(
            LogLevel::Info,
            format_args!("a\nb\x1b[31m\u{85}c\r\n"),
            Form::Journald,
        );
        assert_eq!(line, "<6>a b [31m c  \n");
    }

    #[test]
    fn levels_are_read_as_they_are_printed() {
        for level in LogLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert_eq!("Info".parse::<LogLevel>(), Err(UnknownLevel));
        assert!(LogLevel::Error < LogLevel::Trace);
    }
}
