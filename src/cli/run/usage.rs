use std::cell::RefCell;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::Server;

/// How often it is written if it changed: what a power cut may give back.
const PERIOD: Duration = Duration::from_secs(60);

/// What secrets have used of their quotas, a file in `--data-dir`.
pub(super) struct UsageFile {
    path: PathBuf,
    written: RefCell<String>,
}

impl UsageFile {
    /// With what an earlier run left there.
    pub fn read(data_dir: &Path) -> (Self, String) {
        let path = data_dir.join("usage");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                warn!(
                    "cannot read what secrets have used so far, {}: {error}; they start at 0",
                    path.display()
                );
                String::new()
            }
        };
        let written = RefCell::new(text.clone());
        (Self { path, written }, text)
    }

    fn keep(&self, text: String) {
        if *self.written.borrow() == text {
            return;
        }
        match write_whole(&self.path, text.as_bytes()) {
            Ok(()) => {
                self.written.replace(text);
            }
            Err(error) => warn!(
                "cannot keep what secrets have used, {}: {error}; give a writable --data-dir",
                self.path.display()
            ),
        }
    }
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&unfinished)?.write_all(content)?;
    fs::rename(unfinished, path)
}

impl Server {
    pub(super) async fn keep_usage_for_ever(&self) {
        loop {
            self.reactor.sleep(PERIOD).await;
            self.keep_usage();
        }
    }

    pub(super) fn keep_usage(&self) {
        self.usage.keep(self.gate.usage());
    }
}
