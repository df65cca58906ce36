use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{ConfigError, Origin, Problem};
use super::flags::{Flag, Flags, Holds, NotFilled, find, unknown_flag};
use super::values::Role;

/// A flag with its value, not looked into yet.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// With its dashes.
    pub(crate) flag: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl fmt::Debug for Setting {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.flag, self.origin)
    }
}

/// What flags were given, to compare it with what they are given later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given(Arc<[Setting]>);

impl Given {
    pub(super) fn of(settings: &[Setting]) -> Self {
        Self(settings.into())
    }

    pub(super) fn all(&self) -> &[Setting] {
        &self.0
    }

    /// The values of this flag, in the order given.
    pub(super) fn of_flag(&self, flag: &str) -> impl Iterator<Item = &Setting> {
        self.0.iter().filter(move |setting| setting.flag == flag)
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
        fill(&mut flags, setting, &settings[..index])
            .map_err(|problem| ConfigError::at(&setting.origin, problem))?;
    }
    Ok(flags)
}

fn fill(flags: &mut Flags, setting: &Setting, earlier: &[Setting]) -> Result<(), Problem> {
    let Some(flag) = find(&setting.flag) else {
        return Err(unknown_flag(setting.flag.clone()));
    };
    let Some(slot) = flags.slot(&setting.flag) else {
        let (lacks, instead) = flag.build.lack();
        return Err(Problem::NotInThisBuild {
            flag: flag.name,
            lacks,
            instead,
        });
    };
    let filled = slot.fill(&setting.value);
    filled.map_err(|not_filled| explain(flag, &setting.value, not_filled, earlier))
}

/// What is wrong with `value`, which did not fill its flag's slot.
fn explain(flag: &Flag, value: &str, not_filled: NotFilled, earlier: &[Setting]) -> Problem {
    let name = flag.name;
    match not_filled {
        NotFilled::BadValue(mut cause) => {
            if flag.value == "S" {
                cause.push_str(" (seconds)");
            }
            Problem::BadValue {
                flag: match cause.contains(value) || flag.is_private() {
                    true => name.to_owned(),
                    false => format!("{name} {value}"),
                },
                cause,
            }
        }
        NotFilled::Full => {
            let first = earlier.iter().find(|other| other.flag == name);
            let first = first.map(|first| first.origin.clone());
            Problem::GivenTwice { flag: name, first }
        }
    }
}

/// No flag is given that says nothing to a process of this role.
pub(super) fn check_role(role: Role, settings: &[Setting]) -> Result<(), ConfigError> {
    for setting in settings {
        let flag = find(&setting.flag).filter(|flag| !flag.roles.include(role));
        let Some(&Flag { name: flag, .. }) = flag else {
            continue;
        };
        let (role, other) = match role {
            Role::Both => {
                let problem = Problem::LinkWithoutRole { flag };
                return Err(ConfigError::at(&setting.origin, problem));
            }
            Role::Front => ("front", "back"),
            Role::Back => ("back", "front"),
        };
        let problem = Problem::NotOfRole { flag, role, other };
        return Err(ConfigError::at(&setting.origin, problem));
    }
    Ok(())
}

/// The files that these were read from, or name, and that nobody else should read.
pub(super) fn secret_files(settings: &[Setting]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for setting in settings {
        let Some(flag) = find(&setting.flag) else {
            continue;
        };
        let file = match (&setting.origin, flag.holds) {
            (_, Holds::SecretFile) => PathBuf::from(&setting.value),
            (_, Holds::KeyFileOption) => {
                let mut options = setting.value.split(',');
                match options.find_map(|option| option.strip_prefix("key=")) {
                    Some(file) => PathBuf::from(file),
                    None => continue,
                }
            }
            (Origin::File { path, .. }, _) if flag.is_secret(&setting.value) => path.to_path_buf(),
            _ => continue,
        };
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
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

/// `problem`, and where the `index`th value of a repeatable flag was given.
pub(super) fn at_nth(
    flag: &str,
    index: usize,
    settings: &[Setting],
    problem: Problem,
) -> ConfigError {
    ConfigError {
        origin: origin_of(settings, flag, index).cloned(),
        problem,
    }
}
