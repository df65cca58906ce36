//! The flags of the config: one table, and what is looked up in it.

#[cfg(test)]
mod generated;
#[macro_use]
mod row;
mod slot;
mod spelling;
mod table;
#[cfg(test)]
mod templates;

use std::path::Path;

use super::error::Problem;
pub(crate) use row::Flag;
pub(super) use row::{Build, Holds, Names, Order, Reload};
pub(super) use slot::NotFilled;
pub(crate) use table::FLAGS;
pub(super) use table::Flags;
#[cfg(test)]
pub(super) use table::MORE;

/// The flag of this name, with its dashes.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// Whether `name`, with its dashes, is a flag of the config.
pub(crate) fn is_flag(name: &str) -> bool {
    find(name).is_some()
}

/// What is wrong with a flag that is none.
pub(crate) fn unknown_flag(flag: String) -> Problem {
    let meant = spelling::nearest(&flag);
    Problem::UnknownFlag { flag, meant }
}

/// The flag that is meant by a word without dashes.
pub(crate) fn flag_of_word(word: &str) -> Option<&'static str> {
    find(&format!("--{word}")).map(|flag| flag.name)
}

/// What is wrong with `flag` alone.
pub(crate) fn no_value(flag: &Flag) -> Problem {
    Problem::NoValue {
        flag: flag.name,
        value: flag.value,
    }
}

impl Flag {
    /// `value`; a relative name of a file made whole, as one in `directory`. Files
    /// that a config names may move together with it.
    pub(super) fn within(&self, directory: &Path, value: String) -> String {
        let file_at = match self.names {
            Names::NoFile => return value,
            Names::File => 0,
            Names::FileOfName => match value.find('=') {
                Some(equals) => equals + 1,
                None => return value,
            },
        };
        let (before, file) = value.split_at(file_at);
        if file.is_empty() || value.contains("://") {
            return value;
        }
        match directory.join(file).into_os_string().into_string() {
            Ok(path) => format!("{before}{path}"),
            Err(_) => value,
        }
    }
}

#[cfg(test)]
mod tests;
