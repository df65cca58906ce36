use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::files::read_file;

/// The longest file that is read, in bytes; Telegram's lists are a few KiB.
const MAX_LEN: u64 = 256 * 1024;

/// Of `--data-dir`: what secrets have used of their quotas.
pub(crate) const USAGE_FILE: &str = "usage";

/// Its length, in bytes: more than 10,000 secrets have lines for.
pub(crate) const MAX_USAGE_FILE: u64 = 4 << 20;

/// Files that outlive a run. Without one the proxy does as well, from the
/// beginning.
#[derive(Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self(data_dir.to_owned())
    }

    /// What was kept under `name`, if anything of a sane length.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        read_file(&self.place_of(name), MAX_LEN).ok()
    }

    /// Is it in memory, and gone after a boot? What cannot be told is not.
    pub(crate) fn is_in_memory(&self) -> bool {
        const TMPFS: u32 = 0x0102_1994;
        const RAMFS: u32 = 0x8584_58f6;
        // Signed, or longer, on some.
        let found = rustix::fs::statfs(&self.0).map(|found| found.f_type as u32);
        matches!(found, Ok(TMPFS | RAMFS))
    }

    /// Where `name` is kept.
    pub(crate) fn place_of(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Lets a damaged file be looked at, under the name that this gives; the one
    /// that was set aside before is lost.
    pub(crate) fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let aside = self.place_of(&format!("{name}.broken"));
        fs::rename(self.place_of(name), &aside)?;
        Ok(aside)
    }

    /// Keeps `content`: whole or not at all, readable by us only.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        make_private_dir(&self.0)?;
        write_whole(&self.place_of(name), content, 0o600)
    }
}

/// Makes the directory for this user alone, unless it is there. Those that it
/// lies in are made for all to pass: --user may give this one to another.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut directory = DirBuilder::new();
    directory.recursive(true).mode(0o700).create(path)
}

/// Replaces a file, whole or not at all, even if the power fails: some file
/// systems of routers would leave an empty file under the new name.
pub(crate) fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (beside, mut file) = FileBeside::create(path, mode)?;
    give_to_owner_of_directory(path, &file);
    file.write_all(content).and_then(|()| file.sync_all())?;
    beside.take_place()
}

/// The new content of a file, in a file beside it, which goes if it does not take the
/// place: on a full disk it would keep the room that somebody makes.
pub(crate) struct FileBeside {
    path: PathBuf,
    beside: PathBuf,
}

impl FileBeside {
    /// An empty one, instead of one that a crash has left.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<(Self, File)> {
        let mut beside = path.to_owned().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(mode);
        let file = made.open(&beside)?;
        let path = path.to_owned();
        Ok((Self { path, beside }, file))
    }

    pub(crate) fn take_place(self) -> io::Result<()> {
        let outcome = fs::rename(&self.beside, &self.path);
        // The name too; not every file system has a way to write that.
        let _ = File::open(folder_of(&self.path)).and_then(|folder| folder.sync_all());
        outcome
    }
}

impl Drop for FileBeside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

/// A file that root has made in another user's directory becomes that user's, who
/// could not read it else: what `sudo smol-mtproxy run` leaves, the service finds.
/// Where that fails the file is root's, and of use to root.
pub(crate) fn give_to_owner_of_directory(path: &Path, file: &File) {
    if rustix::process::geteuid().is_root()
        && let Ok(directory) = fs::metadata(folder_of(path))
        && directory.uid() != 0
    {
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}

/// The directory that a file lies in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// What helps where a file cannot be written; `otherwise` where the kind of error
/// does not tell.
pub(crate) fn cure(error: &io::Error, otherwise: &'static str) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its disk",
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use fake_telegram::harness::{TemporaryDirectory, skipped};

    use super::*;

    #[test]
    fn what_could_not_replace_a_file_is_not_left_beside_it() {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join("usage");
        write_whole(&path, b"1 alice", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1 alice");
        // No file takes the place of a directory.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        write_whole(&path, b"2 alice", 0o600).unwrap_err();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn what_root_writes_belongs_to_the_owner_of_its_directory() {
        if !rustix::process::geteuid().is_root() {
            return skipped("only root can give files away");
        }
        let folder = TemporaryDirectory::new();
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65533)).unwrap();
        let path = folder.path().join("secret");
        for _ in 0..2 {
            write_whole(&path, b"x", 0o600).unwrap();
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), (65534, 65533));
            assert_eq!(found.mode() & 0o777, 0o600);
        }
        // A folder of root's own is root's, and so is what lies in it.
        let own = folder.path().join("own");
        make_private_dir(&own).unwrap();
        write_whole(&own.join("secret"), b"x", 0o600).unwrap();
        assert_eq!(fs::metadata(own.join("secret")).unwrap().uid(), 0);
    }

    #[test]
    fn memory_is_told_from_a_disk() {
        let is_in_memory = |path: &str| DataDir::new(Path::new(path)).is_in_memory();
        assert!(!is_in_memory("/proc") && !is_in_memory("/no such directory"));
        if is_in_memory("/dev/shm") {
            return;
        }
        skipped("/dev/shm is not in memory here");
    }

    #[test]
    fn a_full_disk_is_not_a_matter_of_rights() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(cure(&full, "change its mode"), "make room on its disk");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(cure(&denied, "change its mode"), "change its mode");
    }
}
