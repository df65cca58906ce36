//! A directory, read at the start: the files of a small site.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::content_type;
use crate::config::read_file;

/// The most bytes of all files together, and how many there may be.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const MAX_FILES: usize = 4096;

/// Links may lead round in circles.
const MAX_DEPTH: usize = 16;

/// A directory's files by their paths below it, `a/b.html`. Both are in ascending order.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<(String, File)>,
    /// Directories with their paths; that of all is `""`.
    directories: Vec<String>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) body: Box<[u8]>,
    /// Seconds since 1970.
    pub(super) modified: u64,
    pub(super) content_type: &'static str,
}

/// Why a directory is no site.
#[derive(Debug)]
pub(crate) struct FilesError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    TooManyFiles,
    TooManyBytes,
}

impl FilesError {
    /// Why something could not be read, if that is what is wrong.
    pub(crate) fn unread(&self) -> Option<&io::Error> {
        match &self.cause {
            Cause::Io(error) => Some(error),
            Cause::TooManyFiles | Cause::TooManyBytes => None,
        }
    }
}

impl Files {
    /// Reads what is in `root`: regular files, and what links lead to inside of it, but
    /// nothing whose name begins with a dot. Blocks.
    pub(super) fn read(root: &Path) -> Result<Self, FilesError> {
        let root = fs::canonicalize(root).map_err(|error| FilesError::io(root, error))?;
        let mut reading = Reading {
            left: MAX_BYTES,
            files: Self::default(),
            root,
        };
        let root = reading.root.clone();
        reading.directory(&root, "", 0)?;
        let mut read = reading.files;
        read.files
            .sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        read.directories.sort_unstable();
        Ok(read)
    }

    /// The file of `path`.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        let found = self
            .files
            .binary_search_by(|(known, _)| (**known).cmp(path));
        found
            .ok()
            .and_then(|at| self.files.get(at))
            .map(|(_, file)| file)
    }

    pub(super) fn is_directory(&self, path: &str) -> bool {
        let found = self
            .directories
            .binary_search_by(|known| (**known).cmp(path));
        found.is_ok()
    }
}

struct Reading {
    root: PathBuf,
    /// Bytes that may still come.
    left: u64,
    files: Files,
}

impl Reading {
    fn directory(&mut self, real: &Path, path: &str, depth: usize) -> Result<(), FilesError> {
        self.count(real)?;
        self.files.directories.push(path.to_owned());
        let entries = fs::read_dir(real).map_err(|error| FilesError::io(real, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| FilesError::io(real, error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let path = match path {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            // A link that leads nowhere is no file.
            let Ok(real) = fs::canonicalize(entry.path()) else {
                continue;
            };
            if !real.starts_with(&self.root) {
                continue;
            }
            let kind = fs::metadata(&real).map_err(|error| FilesError::io(&real, error))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                self.directory(&real, &path, depth + 1)?;
            } else if kind.is_file() {
                self.file(&real, path, &kind)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, real: &Path, path: String, kind: &fs::Metadata) -> Result<(), FilesError> {
        self.count(real)?;
        if kind.len() > self.left {
            return Err(FilesError::new(real, Cause::TooManyBytes));
        }
        let body = read_file(real, self.left).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => FilesError::new(real, Cause::TooManyBytes),
            _ => FilesError::io(real, error),
        })?;
        self.left -= body.len() as u64;
        let modified = kind.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let file = File {
            body: body.into(),
            modified: since.map_or(0, |since| since.as_secs()),
            content_type: content_type::of(&path),
        };
        self.files.files.push((path, file));
        Ok(())
    }

    fn count(&self, real: &Path) -> Result<(), FilesError> {
        match self.files.files.len() + self.files.directories.len() < MAX_FILES {
            true => Ok(()),
            false => Err(FilesError::new(real, Cause::TooManyFiles)),
        }
    }
}

impl FilesError {
    fn new(path: &Path, cause: Cause) -> Self {
        Self {
            path: path.to_owned(),
            cause,
        }
    }

    fn io(path: &Path, error: io::Error) -> Self {
        Self::new(path, Cause::Io(error))
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Io(error) if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "--web-site: {path}: {error}; give a directory that is there, or a URL, which \
                 begins with http:// or https://"
            ),
            Cause::Io(error) if error.kind() == io::ErrorKind::NotADirectory => write!(
                f,
                "--web-site: {path} is no directory; give the one that it is in"
            ),
            Cause::Io(error) => write!(
                f,
                "--web-site: {path}: {error}; the directory of a site and all that is in it has \
                 to be readable"
            ),
            Cause::TooManyFiles => write!(
                f,
                "--web-site: more than {MAX_FILES} files and directories, {path} is one too many; \
                 let a web server show them, and give its http:// URL"
            ),
            Cause::TooManyBytes => write!(
                f,
                "--web-site: more than {} MiB of files, {path} is too much; let a web server show \
                 them, and give its http:// URL",
                MAX_BYTES >> 20
            ),
        }
    }
}

impl std::error::Error for FilesError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    #[test]
    fn a_directory_is_read_and_nothing_else() {
        let directory = TemporaryDirectory::new();
        let outside = TemporaryDirectory::new();
        let root = directory.path();
        let write = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        write("index.html", "index");
        write("a/b/c.txt", "c");
        write(".htpasswd", "secret");
        write(".git/config", "secret");
        fs::write(outside.path().join("key"), "secret").unwrap();
        symlink(outside.path().join("key"), root.join("key.txt")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("b/c.txt", root.join("a/link.txt")).unwrap();
        symlink("nowhere", root.join("a/none.txt")).unwrap();
        let files = Files::read(root).unwrap();
        let names: Vec<_> = files.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/b/c.txt", "a/link.txt", "index.html"]);
        assert_eq!(&*files.file("a/link.txt").unwrap().body, b"c");
        assert!(files.is_directory("") && files.is_directory("a/b") && !files.is_directory("out"));
        assert!(Files::read(&root.join("none")).is_err());
    }

    #[test]
    fn what_is_too_much_is_said() {
        let directory = TemporaryDirectory::new();
        let large = fs::File::create(directory.path().join("large")).unwrap();
        large.set_len(MAX_BYTES).unwrap();
        Files::read(directory.path()).unwrap();
        fs::write(directory.path().join("more"), "x").unwrap();
        let error = Files::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("16 MiB"), "{error}");
        // It leads back to where it is.
        let circle = TemporaryDirectory::new();
        symlink(".", circle.path().join("again")).unwrap();
        symlink(".", circle.path().join("and")).unwrap();
        let error = Files::read(circle.path()).unwrap_err().to_string();
        assert!(error.contains("4096 files"), "{error}");
    }
}
