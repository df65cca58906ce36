//! Files of a directory of certificates: made once, or put in the place of another.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::CertsError;
use crate::config::{FileBeside, give_to_owner_of_directory, read_text};
use crate::link::security::MAX_PEM;

/// What was written, and what is left to do, a line each.
pub(crate) struct Done {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) notes: Vec<String>,
}

pub(super) fn refuse_existing(directory: &Path, names: &[&str]) -> Result<(), CertsError> {
    let mut paths = names.iter().map(|name| directory.join(name));
    match paths.find(|path| path.exists()) {
        Some(path) => Err(CertsError::Exists(path)),
        None => Ok(()),
    }
}

pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, CertsError> {
    let der = CertificateDer::from_pem_slice(read(path)?.as_bytes());
    der.map_err(|error| CertsError::Damaged(path.into(), error.to_string()))
}

pub(super) fn read(path: &Path) -> Result<String, CertsError> {
    read_text(path, MAX_PEM).map_err(|error| CertsError::Read(path.into(), error))
}

pub(super) fn write(directory: &Path, name: &str, mode: u32, text: &str) -> Result<(), CertsError> {
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(&path);
    let written = file.and_then(|mut file| {
        give_to_owner_of_directory(&path, &file);
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| CertsError::Write(path, error))
}

/// A file whose new content lies beside it.
pub(super) struct Staged {
    path: PathBuf,
    beside: FileBeside,
}

impl Staged {
    /// `mode` is for a file that is not there yet; else it keeps its own, and whose
    /// it is.
    pub(crate) fn new(path: &Path, mode: u32, text: &str) -> Result<Self, CertsError> {
        let failed = |error| CertsError::Write(path.to_owned(), error);
        // Where it is a symbolic link it stays one, but no other user says what root
        // is to write.
        let found = fs::symlink_metadata(path).ok();
        let path = match found.filter(|found| found.is_symlink()) {
            Some(link) if ![0, geteuid().as_raw()].contains(&link.uid()) => {
                let message = "it is a symbolic link of another user: write to what it names";
                return Err(failed(io::Error::other(message)));
            }
            Some(_) if path.exists() => fs::canonicalize(path).map_err(failed)?,
            _ => path.to_owned(),
        };
        let beside = write_beside(&path, mode, text).map_err(failed)?;
        Ok(Self { path, beside })
    }

    pub(crate) fn finish(self) -> Result<PathBuf, CertsError> {
        match self.beside.take_place() {
            Ok(()) => Ok(self.path),
            Err(error) => Err(CertsError::Write(self.path, error)),
        }
    }
}

fn write_beside(path: &Path, mode: u32, text: &str) -> io::Result<FileBeside> {
    let (beside, mut file) = FileBeside::create(path, 0o600)?;
    let before = fs::metadata(path).ok();
    if let Some(before) = &before {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
    }
    let mode = before.map_or(mode, |before| before.mode() & 0o777);
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(beside)
}
