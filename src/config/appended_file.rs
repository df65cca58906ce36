use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::data_dir::DataDir;

/// How often the disk is made to write what is new, under way in any case within
/// half a minute: what a power cut may take.
const SYNC_PERIOD: Duration = Duration::from_secs(60);

/// A file in the data directory that only grows. All of this blocks.
pub(crate) struct AppendedFile {
    data_dir: DataDir,
    name: &'static str,
    /// Once it is appended to.
    file: Option<File>,
    /// Bytes that are ours: behind them is what a write that failed has left.
    length: u64,
    /// Begun by this process, and not appended to since.
    is_fresh: bool,
    synced: Option<Instant>,
}

impl AppendedFile {
    pub(crate) fn new(data_dir: DataDir, name: &'static str) -> Self {
        Self {
            data_dir,
            name,
            file: None,
            length: 0,
            is_fresh: false,
            synced: None,
        }
    }

    /// An earlier run has left so many bytes of use.
    pub(crate) fn go_on(&mut self, length: usize) {
        self.length = length as u64;
    }

    /// Puts `bytes` behind the others; false if the file is not the one any more that
    /// this process, or the one before it, has written.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let is_appended = self.try_append(bytes)?;
        match is_fresh && !is_appended {
            // Else it could be begun again and again.
            true => Err(io::Error::other(
                "it is gone or changed as soon as it is made",
            )),
            false => Ok(is_appended),
        }
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let file = match self.file.take() {
            Some(file) => file,
            None => match self.open() {
                Ok(file) => file,
                Err(_) => return Ok(false),
            },
        };
        let found = file.metadata()?;
        // Nothing must get into a file of another name.
        if !found.is_file() || found.nlink() != 1 || found.len() < self.length {
            return Ok(false);
        }
        if found.len() > self.length {
            file.set_len(self.length)?;
        }
        file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        let is_late = |synced: Instant| synced.elapsed() >= SYNC_PERIOD;
        if self.synced.is_none_or(is_late) {
            file.sync_data()?;
            self.synced = Some(Instant::now());
        }
        self.file = Some(file);
        Ok(true)
    }

    /// Puts a file of these bytes in its place.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file = None;
        self.data_dir.write(self.name, bytes)?;
        self.length = bytes.len() as u64;
        self.is_fresh = true;
        Ok(())
    }

    /// The same, and keeps the one that was there under another name.
    pub(crate) fn begin_next(&mut self, old_name: &str, bytes: &[u8]) -> io::Result<()> {
        let place = |name| self.data_dir.place_of(name);
        match fs::rename(place(self.name), place(old_name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.begin(bytes)
    }

    /// Comes back when all of it is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(flags.bits() as i32);
        options.open(self.data_dir.place_of(self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    const NAME: &str = "log";

    fn file(folder: &Path) -> AppendedFile {
        AppendedFile::new(DataDir::new(folder), NAME)
    }

    #[test]
    fn what_comes_goes_behind_what_was_there() {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join(NAME);
        let mut first = file(folder.path());
        assert!(!first.append(b"a").unwrap(), "there is none");
        first.begin(b"head").unwrap();
        assert!(first.append(b" one").unwrap() && first.append(b" two").unwrap());
        first.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"head one two");
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The last word was cut off.
        let mut next = file(folder.path());
        next.go_on(8);
        assert!(next.append(b" three").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"head one three");
        next.begin_next("log.old", b"new").unwrap();
        assert!(next.append(b" four").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new four");
        let old = fs::read(folder.path().join("log.old")).unwrap();
        assert_eq!(old, b"head one three");
    }

    #[test]
    fn a_file_that_is_gone_or_another_is_begun_anew() {
        let folder = TemporaryDirectory::new();
        let (path, other) = (folder.path().join(NAME), folder.path().join("other"));
        fs::write(&other, "precious things").unwrap();
        let ways: [&dyn Fn(); 4] = [
            &|| {},
            &|| fs::write(&path, "x").unwrap(),
            &|| std::os::unix::fs::symlink(&other, &path).unwrap(),
            &|| fs::hard_link(&other, &path).unwrap(),
        ];
        for is_open in [true, false] {
            for change in ways {
                let mut kept = file(folder.path());
                kept.begin(b"head").unwrap();
                assert!(kept.append(b" one").unwrap());
                if !is_open {
                    kept = file(folder.path());
                    kept.go_on(4);
                }
                fs::remove_file(&path).unwrap();
                change();
                assert!(!kept.append(b" two").unwrap());
                assert!(!kept.append(b" two").unwrap());
                kept.begin(b"whole").unwrap();
                assert!(kept.append(b" again").unwrap());
                assert_eq!(fs::read(&path).unwrap(), b"whole again");
                assert_eq!(fs::read(&other).unwrap(), b"precious things");
            }
        }
    }
}
