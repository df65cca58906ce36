use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::Server;
use crate::config::{DataDir, cure, read_text};
use crate::net::Turnstile;

pub(in crate::cli) const FILE: &str = "usage";

/// Longer than those of 10,000 secrets.
pub(in crate::cli) const LONGEST: u64 = 4 << 20;

/// How often it is written if it changed: what a power cut may give back.
const PERIOD: Duration = Duration::from_secs(60);

/// What secrets have used of their quotas, a file in `--data-dir`.
pub(super) struct UsageFile {
    data_dir: DataDir,
    path: PathBuf,
    written: RefCell<String>,
    turnstile: Turnstile,
}

impl UsageFile {
    /// With what an earlier run left there; blocks.
    pub fn read(data_dir: &Path) -> (Self, String) {
        let path = data_dir.join(FILE);
        let text = match read_text(&path, LONGEST) {
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
        let file = Self {
            data_dir: DataDir::new(data_dir),
            path,
            written: RefCell::new(text.clone()),
            turnstile: Turnstile::default(),
        };
        (file, text)
    }

    /// Writes what `usage` gives once it is this one's turn, if it changed.
    async fn keep(&self, usage: impl FnOnce() -> String) {
        let work = || {
            let (text, data_dir) = (usage(), self.data_dir.clone());
            let is_new = *self.written.borrow() != text;
            is_new.then_some(move || data_dir.write(FILE, text.as_bytes()).map(|()| text))
        };
        match self.turnstile.run(work).await {
            None => {}
            Some(Ok(text)) => {
                self.written.replace(text);
            }
            Some(Err(error)) => warn!(
                "cannot keep what secrets have used, {}: {error}; {}",
                self.path.display(),
                cure(&error, "give a writable --data-dir")
            ),
        }
    }
}

impl Server {
    pub(super) async fn keep_usage_for_ever(&self) {
        loop {
            self.reactor.sleep(PERIOD).await;
            self.keep_usage().await;
        }
    }

    pub(super) async fn keep_usage(&self) {
        self.usage.keep(|| self.gate.usage()).await;
    }
}
