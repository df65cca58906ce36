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

impl Flags {
    /// Whether the ports of clients have TLS of ours for some WEB host.
    pub(super) fn has_web_tls(&self) -> bool {
        let is_ours = self.web.iter().any(|host| host.files.is_some());
        is_ours || (self.web_acme.is_some() && !self.web.is_empty())
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
            // A name has no slash in it.
            Names::FileMaybeOfName => match value.split_once('=') {
                Some((name, _)) if !name.contains('/') => name.len() + 1,
                _ => 0,
            },
            Names::CertificateOptions => {
                let parts = value.split(',').map(|part| match part.split_once('=') {
                    Some((option @ ("cert" | "key" | "ca"), file)) => {
                        format!("{option}={}", made_whole(directory, file))
                    }
                    _ => part.to_owned(),
                });
                return parts.collect::<Vec<_>>().join(",");
            }
        };
        let (before, file) = value.split_at(file_at);
        format!("{before}{}", made_whole(directory, file))
    }
}

fn made_whole(directory: &Path, file: &str) -> String {
    if file.is_empty() || file.contains("://") {
        return file.to_owned();
    }
    match directory.join(file).into_os_string().into_string() {
        Ok(path) => path,
        Err(_) => file.to_owned(),
    }
}

#[cfg(test)]
mod tests;
