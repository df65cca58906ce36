//! One line as its reader wants it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::form::Form;
use super::level::LogLevel;
use crate::clock::unix_now;
use crate::wire::calendar::time_text;
use crate::wire::json::Quoted;

/// How a line looks, apart from what its reader wants before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    /// An object a line: `level`, `time`, `room` and `message`.
    Json,
}

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Lines that matter little begin so, in both formats.
const QUIET: [&str; 6] = [
    "info ",
    "debug ",
    "trace ",
    "{\"level\":\"info\"",
    "{\"level\":\"debug\"",
    "{\"level\":\"trace\"",
];

pub(super) fn set_format(format: LogFormat) {
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

pub(super) fn format() -> LogFormat {
    match IS_JSON.load(Ordering::Relaxed) {
        true => LogFormat::Json,
        false => LogFormat::Text,
    }
}

/// A line of the log, with its end. `room` is whose code says it.
pub(super) fn format_line(
    level: LogLevel,
    room: &str,
    message: fmt::Arguments<'_>,
    form: Form,
    format: LogFormat,
) -> String {
    let mut line = match form {
        Form::Journald => format!("<{}>", level.journald_priority()),
        Form::Plain | Form::Procd => String::new(),
    };
    match format {
        LogFormat::Json => line.push_str(&object(level, room, message)),
        LogFormat::Text => {
            let text = match form {
                Form::Plain => format!("{} {level} {message}", time_text(unix_now())),
                Form::Journald => message.to_string(),
                Form::Procd => format!("{level} {message}"),
            };
            // One event, one line, whatever a peer sent.
            line.push_str(&one_line(text));
        }
    }
    line.push('\n');
    line
}

fn object(level: LogLevel, room: &str, message: fmt::Arguments<'_>) -> String {
    let time = time_text(unix_now());
    let message = message.to_string();
    format!(
        "{{\"level\":\"{level}\",\"time\":\"{time}\",\"room\":{},\"message\":{}}}",
        Quoted(room),
        Quoted(&message)
    )
}

/// Whether a line goes to stdout: its level is all that tells a reader by procd of
/// how much it matters.
pub(super) fn is_for_stdout(line: &[u8], form: Form) -> bool {
    form == Form::Procd && QUIET.iter().any(|begin| line.starts_with(begin.as_bytes()))
}

/// `text` without what moves a terminal's cursor or ends a line.
pub(crate) fn one_line(text: String) -> String {
    match text.contains(|c: char| c.is_control()) {
        true => text.replace(|c: char| c.is_control(), " "),
        false => text,
    }
}

/// The room in the path of a module: `client` of `smol_mtproxy::client::enter`.
pub(crate) const fn room(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b':' {
            if start > 0 {
                return path.split_at(at).0.split_at(start).1;
            }
            start = at + 2;
            at += 1;
        }
        at += 1;
    }
    path.split_at(start).1
}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected text or json")
    }
}

impl std::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 3] = [Form::Plain, Form::Journald, Form::Procd];

    fn text(level: LogLevel, message: fmt::Arguments<'_>, form: Form) -> String {
        format_line(level, "log", message, form, LogFormat::Text)
    }

    #[test]
    fn a_line_for_a_terminal_one_for_journald_and_one_for_procd() {
        let warn = |form| text(LogLevel::Warn, format_args!("x {}", 1), form);
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
            for form in FORMS {
                for format in [LogFormat::Text, LogFormat::Json] {
                    let line = format_line(level, "log", format_args!("info"), form, format);
                    let wanted = form == Form::Procd && level >= LogLevel::Info;
                    let is_out = is_for_stdout(line.as_bytes(), form);
                    assert_eq!(is_out, wanted, "{form:?}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let line = text(
            LogLevel::Info,
            format_args!("a\nb\x1b[31m\u{85}c\r\n"),
            Form::Journald,
        );
        assert_eq!(line, "<6>a b [31m c  \n");
    }

    #[test]
    fn the_room_is_the_first_part_within_the_program() {
        for (path, wanted) in [
            ("smol_mtproxy::client::sites::probe", "client"),
            ("smol_mtproxy::clock", "clock"),
            ("smol_mtproxy", "smol_mtproxy"),
            ("", ""),
        ] {
            assert_eq!(room(path), wanted);
        }
        assert_eq!(const { room(module_path!()) }, "log");
    }

    #[test]
    fn formats_are_read() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("text".parse(), Ok(LogFormat::Text));
        assert_eq!("JSON".parse::<LogFormat>(), Err(UnknownFormat));
    }

    proptest! {
        #[test]
        fn any_message_is_one_object_on_one_line(message: String, form in 0usize..3) {
            let form = FORMS[form];
            let line = format_line(
                LogLevel::Warn, "client", format_args!("{message}"), form, LogFormat::Json,
            );
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains(|c: char| c.is_control()));
            let object = match form {
                Form::Journald => line.strip_prefix("<4>").unwrap(),
                _ => line,
            };
            let read: serde_json::Value = serde_json::from_str(object).unwrap();
            prop_assert_eq!(read["message"].as_str(), Some(message.as_str()));
            prop_assert_eq!(&read["level"], "warn");
            prop_assert_eq!(&read["room"], "client");
            prop_assert_eq!(read["time"].as_str().unwrap().len(), 20);
            prop_assert_eq!(read.as_object().unwrap().len(), 4);
        }
    }
}
