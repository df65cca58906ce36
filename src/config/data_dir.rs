use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
        let file = File::open(self.0.join(name)).ok()?;
        let mut content = Vec::new();
        let read = file.take(longest + 1).read_to_end(&mut content).ok()?;
        (read as u64 <= longest).then_some(content)
    }

    /// Keeps `content`: whole or not at all, readable by us only.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let temporary = self.0.join(format!(".{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        fs::rename(&temporary, self.0.join(name))
    }
}
