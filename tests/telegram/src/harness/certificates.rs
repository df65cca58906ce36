//! Certificates of a link, made by the binary itself.

use std::path::Path;
use std::process::Command;

use super::{Said, Secured, TemporaryDirectory};

/// What `certs` says to these words, with the directory behind the first of them.
pub fn certs(binary: &str, words: &[&str], directory: &Path) -> Said {
    let mut command = Command::new(binary);
    command.arg("certs").arg(words[0]).arg(directory);
    Said::by(command.args(&words[1..]))
}

/// Makes a CA, a back's certificate and one of each of `fronts`.
pub fn certify<'a>(binary: &str, fronts: impl IntoIterator<Item = &'a str>) -> TemporaryDirectory {
    let directory = TemporaryDirectory::new();
    certs(binary, &["init"], directory.path()).fine();
    for front in fronts {
        certs(binary, &["add-node", front], directory.path()).fine();
    }
    directory
}

impl Secured {
    /// By what [`certify`] made, for this front.
    pub fn by_certificates(directory: &TemporaryDirectory, front: &str) -> Self {
        Self::Certificates(directory.path().into(), front.into())
    }
}
