use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::Server;
use crate::config::DataDir;

const FILE: &str = "usage";

/// How often it is written if it changed: what a power cut may give back.
const PERIOD: Duration = Duration::from_secs(60);

/// What secrets have used of their quotas, a file in `--data-dir`.
pub(super) struct UsageFile {
    data_dir: DataDir,
    path: PathBuf,
    written: RefCell<String>,
}

impl UsageFile {
    /// With what an earlier run left there.
    pub fn read(data_dir: &Path) -> (Self, String) {
        let path = data_dir.join(FILE);
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
        let data_dir = DataDir::new(data_dir);
        let file = Self {
            data_dir,
            path,
            written,
        };
        (file, text)
    }

    fn keep(&self, text: String) {
        if *self.written.borrow() == text {
            return;
        }
        match self.data_dir.write(FILE, text.as_bytes()) {
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
