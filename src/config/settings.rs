use std::fmt;
use std::path::Path;
use std::rc::Rc;

use argh::FromArgs;

use super::error::{ConfigError, Problem};
use super::flags::Flags;

/// Where a flag was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    /// Lines are counted from 1.
    File {
        path: Rc<Path>,
        line: usize,
    },
}

/// A flag with its value, not looked into yet.
#[derive(Clone)]
pub struct Setting {
    /// With its dashes.
    pub flag: String,
    pub value: String,
    pub origin: Origin,
}

impl fmt::Debug for Setting {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.flag, self.origin)
    }
}

/// The settings of the command line over those of the file: a flag that is on
/// the command line is not taken from the file at all.
pub(super) fn overlay(file: Vec<Setting>, command_line: &[Setting]) -> Vec<Setting> {
    let is_overridden = |setting: &Setting| command_line.iter().any(|c| c.flag == setting.flag);
    let mut all: Vec<_> = file.into_iter().filter(|s| !is_overridden(s)).collect();
    all.extend_from_slice(command_line);
    all
}

/// All values read as what they are.
pub(super) fn parse(settings: &[Setting]) -> Result<Flags, ConfigError> {
    attempt(settings).map_err(|exit| {
        for (index, setting) in settings.iter().enumerate() {
            if let Some(problem) = explain(setting, &settings[..index]) {
                return ConfigError::at(&setting.origin, problem);
            }
        }
        let flag = "flags".to_owned();
        let cause = exit.output.trim().to_owned();
        ConfigError::new(Problem::BadValue { flag, cause })
    })
}

fn attempt(settings: &[Setting]) -> Result<Flags, argh::EarlyExit> {
    let words: Vec<&str> = settings
        .iter()
        .flat_map(|setting| [setting.flag.as_str(), setting.value.as_str()])
        .collect();
    Flags::from_args(&["smol-mtproxy"], &words)
}

/// What is wrong with `setting`, if it is the culprit.
fn explain(setting: &Setting, earlier: &[Setting]) -> Option<Problem> {
    let flag = setting.flag.clone();
    if let Err(exit) = attempt(std::slice::from_ref(setting)) {
        let cause = cause(setting, &exit.output);
        let names_value = cause.contains(&setting.value) || holds_secret(&flag);
        return Some(Problem::BadValue {
            flag: match names_value {
                true => flag,
                false => format!("{flag} {}", setting.value),
            },
            cause,
        });
    }
    let first = earlier.iter().find(|other| other.flag == flag)?;
    let both = [first.clone(), setting.clone()];
    attempt(&both).err().map(|_| Problem::GivenTwice {
        flag,
        first: Some(first.origin.clone()),
    })
}

/// Whether a value of this flag must not be repeated where others may read it.
fn holds_secret(flag: &str) -> bool {
    matches!(flag, "--secret" | "--listen" | "--tag")
}

/// argh's message without its repetition of the value, which may be a secret.
fn cause(setting: &Setting, message: &str) -> String {
    let prefix = format!(
        "Error parsing option '{}' with value '{}': ",
        setting.flag, setting.value
    );
    let message = message.trim();
    message
        .strip_prefix(&prefix)
        .unwrap_or("bad value")
        .to_owned()
}

/// Where the `index`th value of a repeatable flag was given.
pub(super) fn origin_of<'a>(
    settings: &'a [Setting],
    flag: &str,
    index: usize,
) -> Option<&'a Origin> {
    let mut given = settings.iter().filter(|setting| setting.flag == flag);
    given.nth(index).map(|setting| &setting.origin)
}
