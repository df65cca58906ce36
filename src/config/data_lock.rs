//! One process a data directory: two would overwrite what the other keeps.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::data_dir::{give_to_owner_of_directory, make_private_dir};
use super::files::read_text;

/// A file in the data directory that holds the number of the process. The kernel
/// takes the lock away when that ends, however it does.
const FILE: &str = "lock";

/// Longer than a process takes to end.
const LAST_MOMENTS: Duration = Duration::from_secs(12);

/// The same for one that was killed.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The right to write in a data directory, as long as it lives.
#[derive(Clone)]
pub(crate) struct DataLock(Option<Arc<File>>);

/// Another process has the data directory.
#[derive(Debug)]
pub(crate) struct DataDirInUse {
    pub(crate) process: Option<u32>,
}

impl DataLock {
    /// Makes the directory if need be. Where no file can be locked, because the
    /// directory or its file system does not allow it, the proxy does without.
    /// Blocks until another process that is about to end has ended.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, DataDirInUse> {
        let file = match open(data_dir) {
            Ok(file) => file,
            Err(error) => {
                let path = data_dir.join(FILE);
                if error.kind() == io::ErrorKind::PermissionDenied && path.exists() {
                    warn!(
                        "cannot lock {}: {error}; a second process with this --data-dir would \
                         overwrite what secrets have used of quotas: chown the file to this user",
                        path.display()
                    );
                }
                return Ok(Self(None));
            }
        };
        let started = Instant::now();
        let mut is_told = false;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            let process = holder(data_dir);
            let limit = match process {
                Some(_) => LAST_MOMENT,
                None => LAST_MOMENTS,
            };
            if started.elapsed() > limit {
                return Err(DataDirInUse { process });
            }
            if process.is_none() && !is_told {
                is_told = true;
                let place = data_dir.display();
                info!("waiting for the process that still uses --data-dir {place} to end");
            }
            sleep(Duration::from_millis(50));
        }
        // A full disk takes the lock, not the number.
        let _ = write_number(&file);
        Ok(Self(Some(Arc::new(file))))
    }

    /// Does nobody else write there, as far as can be told?
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Lets the next process wait instead of giving up: this one is about to end.
    /// Blocks.
    pub(crate) fn end_soon(&self) {
        if let Self(Some(file)) = self {
            let _ = file.set_len(0);
        }
    }
}

fn open(data_dir: &Path) -> io::Result<File> {
    make_private_dir(data_dir)?;
    let path = data_dir.join(FILE);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    // For this user alone: whoever can read a file can lock it.
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).mode(0o600);
    options.custom_flags(flags);
    if let Ok(file) = options.clone().create_new(true).open(&path) {
        give_to_owner_of_directory(&path, &file);
        return Ok(file);
    }
    let file = options.open(&path)?;
    let found = file.metadata()?;
    // A number must not get into a file of another name.
    match found.is_file() && found.nlink() == 1 {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn write_number(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(format!("{}\n", process::id()).as_bytes(), 0)
}

/// The process that the file names, if that can be: it may be another one's last
/// word, or be counted elsewhere.
fn holder(data_dir: &Path) -> Option<u32> {
    let text = read_text(&data_dir.join(FILE), 16).ok()?;
    let process = text.trim().parse().ok()?;
    let is_there = Path::new("/proc").join(text.trim()).exists();
    (process != process::id() && is_there).then_some(process)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join("new/state");
        let lock = DataLock::take(&path).unwrap();
        let file = path.join(FILE);
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            format!("{}\n", process::id())
        );
        // A lock is a descriptor's: this process stands for another.
        fs::write(&file, "1\n").unwrap();
        let refused = DataLock::take(&path).err().unwrap();
        assert_eq!(refused.process, Some(1));
        drop(lock);
        assert!(DataLock::take(&path).is_ok());
    }

    #[test]
    fn who_is_about_to_end_is_waited_for() {
        let folder = TemporaryDirectory::new();
        let lock = DataLock::take(folder.path()).unwrap();
        lock.end_soon();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| DataLock::take(folder.path()));
            sleep(Duration::from_millis(60));
            assert!(!next.is_finished());
            drop(lock);
            assert!(next.join().unwrap().is_ok());
        });
    }

    #[test]
    fn where_nothing_can_be_locked_the_proxy_does_without() {
        let folder = TemporaryDirectory::new();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(!DataLock::take(&file).unwrap().is_held());
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(DataLock::take(folder.path()).is_ok());
    }

    #[test]
    fn nothing_is_written_into_a_file_of_another_name() {
        let folder = TemporaryDirectory::new();
        let (file, state) = (folder.path().join("file"), folder.path().join("state"));
        fs::create_dir(&state).unwrap();
        fs::write(&file, "precious").unwrap();
        fs::hard_link(&file, state.join(FILE)).unwrap();
        assert!(DataLock::take(&state).is_ok());
        fs::remove_file(state.join(FILE)).unwrap();
        std::os::unix::fs::symlink(&file, state.join(FILE)).unwrap();
        assert!(DataLock::take(&state).is_ok());
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        fs::remove_file(state.join(FILE)).unwrap();
        let lock = DataLock::take(&state).unwrap();
        let mode = fs::metadata(state.join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(lock);
    }
}
