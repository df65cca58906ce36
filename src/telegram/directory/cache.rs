use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The last good copies of Telegram's lists, files in the data directory.
#[derive(Clone)]
pub(super) struct Cache(PathBuf);

impl Cache {
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.to_owned())
    }

    /// What was kept under `name`, if anything.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.0.join(name)).ok()
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
