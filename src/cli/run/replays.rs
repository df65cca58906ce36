//! The memory of handshakes from one run to the next, in `--data-dir`: appended to as
//! they come, so that it is there however the process ends.

use std::cell::Cell;
use std::fs;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::core::Core;
use super::part::{Change, Doing, Part, Phase, Report};
use crate::config::{AppendedFile, DataDir, DataLock, ReplayCache, Role, cure, read_file};
use crate::guard::gate::{Gate, Memory};
use crate::guard::replay::{Batch, Left, WriteAs};
use crate::log::Trouble;
use crate::metrics::HandshakeOutcome;
use crate::net::Turnstile;

const REPLAYS: &str = "replays";
const OLD_REPLAYS: &str = "replays.old";
const UPTIMES: &str = "uptimes";

/// So long what comes waits for others to be written with.
const COLLECT: Duration = Duration::from_millis(100);

/// Until a disk that fails is tried again, and one that is full.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_FULL: Duration = Duration::from_secs(600);

/// Between lines about a file that cannot be written.
const LOG_PERIOD: Duration = Duration::from_secs(3600);

/// The files, where they are kept.
pub(super) struct ReplayFiles {
    core: Rc<Core>,
    gate: Rc<Gate>,
    data_dir: DataDir,
    /// If --replay-cache does not say.
    kept_by_default: bool,
    turnstile: Turnstile,
    replays: KeptFile,
    uptimes: KeptFile,
    /// Handshakes that there were when the stop had written all.
    all_written: Cell<Option<u64>>,
}

struct KeptFile {
    name: &'static str,
    file: Arc<Mutex<AppendedFile>>,
    trouble: Trouble,
}

/// How a write went.
enum Written {
    Nothing,
    Something,
    Failed(Duration),
}

impl ReplayFiles {
    /// Takes over what the last run kept; blocks.
    pub(crate) fn restore(core: &Rc<Core>, gate: &Rc<Gate>, lock: &DataLock) -> Rc<Self> {
        let (config, data_dir) = (core.config(), core.data_dir());
        let file = |name| KeptFile {
            name,
            file: Arc::new(Mutex::new(AppendedFile::new(data_dir.clone(), name))),
            trouble: Trouble::new(LOG_PERIOD),
        };
        let is_in_memory = data_dir.is_in_memory();
        let cache = config.guard.replay_cache;
        let is_wanted =
            config.process.role != Role::Back && cache.entries > 0 && cache.keep.is_none();
        if is_wanted && !lock.is_held() && !is_in_memory {
            warn!(
                "no handshake is kept, so one that was recorded is let in once more after a restart: \
                 --data-dir {} cannot be written or locked; give another, or --replay-cache forget",
                config.process.data_dir.display()
            );
        }
        let files = Self {
            core: core.clone(),
            gate: gate.clone(),
            kept_by_default: lock.is_held() && !is_in_memory,
            turnstile: Turnstile::default(),
            replays: file(REPLAYS),
            uptimes: file(UPTIMES),
            all_written: Cell::new(None),
            data_dir,
        };
        files.go_by(cache);
        if files.keeps(cache) {
            files.restore_replays();
            files.restore_uptimes();
        }
        Rc::new(files)
    }

    fn go_by(&self, cache: ReplayCache) {
        self.gate.keep_replays(self.keeps(cache));
    }

    fn keeps(&self, cache: ReplayCache) -> bool {
        cache.entries > 0 && cache.keep.unwrap_or(self.kept_by_default)
    }

    fn restore_replays(&self) {
        let (gate, reactor) = (&self.gate, &self.core.reactor);
        let names = [OLD_REPLAYS, REPLAYS];
        let files = names.map(|name| self.read(name, gate.longest(Memory::Replays)));
        let parts = [files[0].as_deref(), files[1].as_deref()];
        let left = gate.restore_replays(parts, reactor.now(), reactor.clock().unix());
        self.go_on(&self.replays, names, left);
    }

    fn restore_uptimes(&self) {
        let file = self.read(UPTIMES, self.gate.longest(Memory::Uptimes));
        let left = self.gate.restore_uptimes(file.as_deref());
        self.go_on(&self.uptimes, ["", UPTIMES], left);
    }

    fn go_on(&self, kept: &KeptFile, names: [&str; 2], left: Left) {
        if let Some(length) = left.length {
            lock(&kept.file).go_on(length);
        }
        let files = names.into_iter().zip(left.is_damaged);
        let useless = files.filter(|(_, is_damaged)| *is_damaged);
        let useless: Vec<_> = useless
            .map(|(name, _)| self.data_dir.place_of(name))
            .collect();
        if useless.is_empty() {
            return;
        }
        let shown: Vec<_> = useless
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        forgotten(&format!(
            "{}: of another version, as after an upgrade, or damaged; new ones are kept",
            shown.join(" and ")
        ));
        for path in useless {
            // Else each start would tell of it until another takes its place.
            let _ = fs::remove_file(path);
        }
    }

    fn read(&self, name: &str, longest: u64) -> Option<Vec<u8>> {
        let path = self.data_dir.place_of(name);
        match read_file(&path, longest) {
            Ok(content) => return Some(content),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => {}
                io::ErrorKind::FileTooLarge => {
                    forgotten(&format!(
                        "{}: it is more than --replay-cache has room for",
                        path.display()
                    ));
                }
                _ => forgotten(&format!("{}: {error}", path.display())),
            },
        }
        None
    }

    /// Writes what is next of one of them, once it is this one's turn.
    async fn write(&self, memory: Memory) -> Written {
        let (gate, reactor) = (&self.gate, &self.core.reactor);
        let kept = match memory {
            Memory::Replays => &self.replays,
            Memory::Uptimes => &self.uptimes,
        };
        let path = self.data_dir.place_of(kept.name);
        let place = path.display();
        let file = kept.file.clone();
        let work = || {
            let batch = gate.take_news(memory, reactor.now(), reactor.clock().unix())?;
            Some(move || write(&mut lock(&file), &batch))
        };
        let error = match self.turnstile.run(work).await {
            None => return Written::Nothing,
            Some(Ok(is_whole)) => {
                if !is_whole {
                    gate.begin_anew(memory);
                } else if kept.trouble.works() {
                    info!("handshakes are kept again in {place}");
                }
                return Written::Something;
            }
            Some(Err(error)) => error,
        };
        gate.begin_anew(memory);
        if let Some(skipped) = kept.trouble.fails(reactor.now()) {
            warn!(
                "cannot keep handshakes, {place}: {error}{skipped}; {}, else one that was recorded is \
                 let in once more after a restart",
                cure(
                    &error,
                    "give a writable --data-dir, or --replay-cache forget"
                )
            );
        }
        Written::Failed(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RETRY_FULL,
            _ => RETRY,
        })
    }

    async fn run(&self) {
        loop {
            self.gate.has_news().await;
            self.core.reactor.sleep(COLLECT).await;
            let mut pause = Duration::ZERO;
            // What is in the way of one need not be in the way of the other.
            for memory in [Memory::Replays, Memory::Uptimes] {
                if let Written::Failed(longer) = self.write(memory).await {
                    pause = pause.max(longer);
                }
            }
            if !pause.is_zero() {
                self.core.reactor.sleep(pause).await;
            }
        }
    }

    /// All that is left, and as far as the disk; `handshakes` are there by now.
    async fn write_all(&self, handshakes: u64) {
        for memory in [Memory::Replays, Memory::Uptimes] {
            while matches!(self.write(memory).await, Written::Something) {}
        }
        let parts = [&self.replays, &self.uptimes].map(|kept| kept.file.clone());
        let sync = move || parts.iter().try_for_each(|file| lock(file).sync());
        // What cannot be written was said already.
        let _ = self.turnstile.run(|| Some(sync)).await;
        self.all_written.set(Some(handshakes));
    }

    /// Those that may have proven a secret.
    fn handshakes(&self) -> u64 {
        let handshakes = &self.core.metrics.handshakes;
        let proven = [HandshakeOutcome::Accepted, HandshakeOutcome::Rejected];
        proven.map(|outcome| handshakes.get(outcome)).iter().sum()
    }
}

impl Part for ReplayFiles {
    fn start(self: Rc<Self>, core: &Core) {
        core.spawn(async move { self.run().await });
    }

    fn reconfigure(&self, change: &Change, _: &mut Report<'_>) {
        self.go_by(change.new.guard.replay_cache);
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        let handshakes = self.handshakes();
        if phase != Phase::Save || self.all_written.get() == Some(handshakes) {
            return None;
        }
        Some(Box::pin(self.write_all(handshakes)))
    }
}

fn forgotten(why: &str) {
    warn!(
        "handshakes of earlier runs are forgotten, so one that was recorded is let in once more: {why}"
    );
}

fn write(file: &mut AppendedFile, batch: &Batch) -> io::Result<bool> {
    match batch.place {
        WriteAs::Behind => return file.append(&batch.bytes),
        WriteAs::Anew => file.begin(&batch.bytes)?,
        WriteAs::Next => file.begin_next(OLD_REPLAYS, &batch.bytes)?,
    }
    Ok(true)
}

fn lock(file: &Mutex<AppendedFile>) -> MutexGuard<'_, AppendedFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
