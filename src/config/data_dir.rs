use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::files::read_file;

/// The longest file that is read, in bytes; Telegram's lists are a few KiB.
const LONGEST: u64 = 256 * 1024;

/// Files that outlive a run. Without one the proxy does as well, from the
/// beginning.
#[derive(Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.to_owned())
    }

    /// What was kept under `name`, if anything of a sane length.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read_at_most(name, LONGEST)
    }

    /// The same, where sane is another number of bytes.
    pub fn read_at_most(&self, name: &str, longest: u64) -> Option<Vec<u8>> {
        read_file(&self.0.join(name), longest).ok()
    }

    /// Keeps `content`: whole or not at all, readable by us only.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        make_private_dir(&self.0)?;
        write_whole(&self.0.join(name), content, 0o600)
    }
}

/// Makes the directory for this user alone, unless it is there. Those that it
/// lies in are made for all to pass: --user may give this one to another.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut directory = DirBuilder::new();
    directory.recursive(true).mode(0o700).create(path)
}

/// Replaces a file, whole or not at all, even if the power fails: some file
/// systems of routers would leave an empty file under the new name.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
