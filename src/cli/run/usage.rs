use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::part::{Doing, Part, Phase};
use crate::config::{DataDir, MAX_USAGE_FILE, USAGE_FILE, cure, read_file};
use crate::guard::gate::Gate;
use crate::guard::usage::{Usage, write_line};
use crate::log::Trouble;
use crate::net::Turnstile;

/// How often it is written if it changed: what a power cut may give back.
const PERIOD: Duration = Duration::from_secs(60);

/// Between lines about a file that cannot be written.
const LOG_PERIOD: Duration = Duration::from_secs(3600);

/// What secrets have used of their quotas, a file in `--data-dir`.
pub(super) struct UsageFile {
    core: Rc<Core>,
    gate: Rc<Gate>,
    data_dir: DataDir,
    path: PathBuf,
    written: RefCell<String>,
    turnstile: Turnstile,
    trouble: Trouble,
}

impl UsageFile {
    /// Goes on with what an earlier run [left](left_in).
    pub(crate) fn new(core: &Rc<Core>, gate: &Rc<Gate>, left: String) -> Rc<Self> {
        let data_dir = core.data_dir();
        Rc::new(Self {
            core: core.clone(),
            gate: gate.clone(),
            path: data_dir.place_of(USAGE_FILE),
            data_dir,
            written: RefCell::new(left),
            turnstile: Turnstile::default(),
            trouble: Trouble::new(LOG_PERIOD),
        })
    }

    /// Writes what is used once it is this one's turn, if it changed.
    async fn keep(&self) {
        let work = || {
            let (text, data_dir) = (self.gate.usage(), self.data_dir.clone());
            let is_new = *self.written.borrow() != text;
            is_new.then_some(move || data_dir.write(USAGE_FILE, text.as_bytes()).map(|()| text))
        };
        let place = self.path.display();
        match self.turnstile.run(work).await {
            None => {}
            Some(Ok(text)) => {
                self.written.replace(text);
                if self.trouble.works() {
                    info!("what secrets have used is kept again in {place}");
                }
            }
            Some(Err(error)) => {
                if let Some(skipped) = self.trouble.fails(self.core.reactor.now()) {
                    warn!(
                        "cannot keep what secrets have used, {place}: {error}{skipped}; {}, else a \
                         restart gives back what they use until then",
                        cure(&error, "give a writable --data-dir")
                    );
                }
            }
        }
    }
}

impl Part for UsageFile {
    fn start(self: Rc<Self>, core: &Core) {
        core.spawn(async move {
            loop {
                self.core.reactor.sleep(PERIOD).await;
                self.keep().await;
            }
        });
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        match phase {
            Phase::Save => Some(Box::pin(self.keep())),
            _ => None,
        }
    }
}

/// The lines of an earlier run that make sense. A damaged file is told of and set
/// aside, as the next one takes its place. Blocks.
pub(super) fn left_in(data_dir: &DataDir) -> String {
    let path = data_dir.place_of(USAGE_FILE);
    let place = path.display();
    let content = match read_file(&path, MAX_USAGE_FILE) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return String::new(),
        Err(error) => {
            let kept = kept_aside(data_dir);
            warn!(
                "cannot read what secrets have used of their quotas, {place}: {error}; they start \
                 at 0; {kept}"
            );
            return String::new();
        }
    };
    let text = String::from_utf8_lossy(&content);
    let lines = text.lines().count();
    let usage = Usage::read(&text);
    if lines > 0 && usage.damaged == 0 {
        return text.into_owned();
    }
    let mut whole = String::new();
    for (used, name) in &usage.used {
        write_line(&mut whole, *used, name);
    }
    let (what, kept) = match lines {
        0 => ("is empty".to_owned(), how_to_restore(data_dir)),
        _ => {
            let sound = usage.used.len();
            let what = format!("is damaged: only {sound} of {lines} lines make sense");
            (what, kept_aside(data_dir))
        }
    };
    warn!(
        "{place} {what}, as after a power cut; secrets that it does not name start at 0 of their \
         quotas; {kept}"
    );
    if !whole.is_empty()
        && let Err(error) = data_dir.write(USAGE_FILE, whole.as_bytes())
    {
        warn!(
            "cannot write {place}: {error}; {}",
            cure(&error, "give a writable --data-dir")
        );
    }
    whole
}

/// What the operator can do about a damaged file.
fn kept_aside(data_dir: &DataDir) -> String {
    match data_dir.set_aside(USAGE_FILE) {
        Ok(aside) => {
            let (aside, restore) = (aside.display(), how_to_restore(data_dir));
            format!("it is kept as {aside}; {restore}")
        }
        Err(error) => format!("it cannot be kept under another name: {error}"),
    }
}

fn how_to_restore(data_dir: &DataDir) -> String {
    let place = data_dir.place_of(USAGE_FILE);
    let place = place.display();
    format!("to restore what they have used, stop the proxy and write lines BYTES NAME to {place}")
}
