use std::fmt;

use super::error::{ConfigError, Problem};
use super::flags::{Flags, all_flags};
use super::origin::Origin;
use super::slot::NotFilled;

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
    let mut flags = Flags::default();
    for (index, setting) in settings.iter().enumerate() {
        let filled = match flags.slot(&setting.flag) {
            Some(slot) => slot.fill(&setting.value),
            None => Err(NotFilled::BadValue("unknown flag".to_owned())),
        };
        if let Err(not_filled) = filled {
            let problem = explain(setting, not_filled, &settings[..index]);
            return Err(ConfigError::at(&setting.origin, problem));
        }
    }
    Ok(flags)
}

/// What is wrong with `setting`, which did not fill its flag's slot.
fn explain(setting: &Setting, not_filled: NotFilled, earlier: &[Setting]) -> Problem {
    let flag = setting.flag.clone();
    match not_filled {
        NotFilled::BadValue(mut cause) => {
            if all_flags().any(|known| known.name == flag && known.value == "S") {
                cause.push_str(" (seconds)");
            }
            let names_value = cause.contains(&setting.value) || holds_secret(&flag);
            Problem::BadValue {
                flag: match names_value {
                    true => flag,
                    false => format!("{flag} {}", setting.value),
                },
                cause,
            }
        }
        NotFilled::Full => {
            let first = earlier.iter().find(|other| other.flag == flag);
            let first = first.map(|first| first.origin.clone());
            Problem::GivenTwice { flag, first }
        }
    }
}

/// Whether a value of this flag must not be repeated where others may read it.
fn holds_secret(flag: &str) -> bool {
    matches!(flag, "--secret" | "--listen" | "--tag")
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
