//! What is wrong with a table, and the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::MAX_FILE;
use crate::config::cure;

#[derive(Debug)]
pub struct TableError {
    file: PathBuf,
    kind: TableErrorKind,
}

#[derive(Debug)]
pub(super) enum TableErrorKind {
    Read(io::Error),
    TooLarge,
    /// It was there.
    Gone,
    Write(io::Error),
    /// Without a line: asked for at run time.
    Entry {
        line: Option<usize>,
        entry: String,
    },
}

impl TableError {
    pub(super) fn read(file: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::FileTooLarge => TableErrorKind::TooLarge,
            _ => TableErrorKind::Read(error),
        };
        Self::new(file, kind)
    }

    /// `line` from 1.
    pub(super) fn entry(file: &Path, line: Option<usize>, entry: &str) -> Self {
        let entry = entry.chars().take(60).collect();
        Self::new(file, TableErrorKind::Entry { line, entry })
    }

    /// What kept the file from being read.
    pub fn unread(&self) -> Option<&io::Error> {
        match &self.kind {
            TableErrorKind::Read(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn new(file: &Path, kind: TableErrorKind) -> Self {
        Self {
            file: file.to_owned(),
            kind,
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.kind {
            TableErrorKind::Read(error) => {
                let way_out = match error.kind() {
                    io::ErrorKind::NotFound => "its folder is not there: mend the path, or make it",
                    io::ErrorKind::PermissionDenied => "let this user read it",
                    io::ErrorKind::IsADirectory => "name a file, not a directory",
                    _ => "put its lines into a text file",
                };
                write!(f, "table {file} cannot be read: {error}; {way_out}")
            }
            TableErrorKind::Gone => write!(
                f,
                "table {file} is gone: put it back, or make an empty file to have nobody in it"
            ),
            TableErrorKind::TooLarge => write!(
                f,
                "table {file} is over {} MiB; write neighbouring addresses as networks, or make \
                 several tables of it, each with its --policy",
                MAX_FILE >> 20
            ),
            TableErrorKind::Write(error) => write!(
                f,
                "table {file} cannot be written: {error}; {}",
                cure(error, "make its folder writable for this user")
            ),
            TableErrorKind::Entry { line, entry } => {
                if let Some(line) = line {
                    write!(f, "{file}:{line}: ")?;
                }
                write!(
                    f,
                    "{entry:?} is no table entry: an address (192.0.2.7), a network (192.0.2.0/24) or a name is"
                )
            }
        }
    }
}

impl std::error::Error for TableError {}
