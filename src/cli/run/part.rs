//! The parts of the running server, each one value in a file of its own: what they
//! have in common, and what a reload hands them.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::core::Core;
use crate::config::{Config, Differences};
use crate::guard::table::ReadTable;
use crate::link::SecurityFiles;
#[cfg(feature = "tls")]
use crate::telegram::Authorities;
use crate::web::Directories;
use crate::wire::secret::Secret;

/// Work to be waited for.
pub(super) type Doing<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What is left of a reload once all that can fail is done. Dropped uncalled, it
/// undoes that.
pub(super) type Takeover<'a> = Box<dyn FnOnce(&Change, &mut Report<'a>) + 'a>;

/// A part of the running server. Who makes it takes what only root may take, and may
/// fail; from then on the server asks nothing else of it than this.
pub(super) trait Part {
    /// Begins what it does while the server runs.
    fn start(self: Rc<Self>, _core: &Core) {}

    /// Does all of a reload that can fail; nothing is different until the result is
    /// called.
    fn prepare<'a>(
        &'a self,
        _change: &Change,
        _files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        Ok(None)
    }

    /// Does the rest, which cannot fail.
    fn reconfigure(&self, _change: &Change, _report: &mut Report<'_>) {}

    /// Does all of a change that has nothing but other secrets.
    fn take_secrets(&self, _change: &Change, _report: &mut Report<'_>) {}

    /// Takes this phase of the stop, at once or in what it gives.
    fn stop(&self, _phase: Phase) -> Option<Doing<'_>> {
        None
    }
}

/// The phases of a stop, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody new comes in.
    Close,
    /// Who is there may finish; meanwhile [`Save`](Self::Save).
    Drain,
    /// What outlives the run is written, and what has come since then once more after
    /// [`End`](Self::End).
    Save,
    /// Who is still there is cut off.
    End,
    /// Others can tell that nobody is here any more.
    Leave,
}

/// What a reload makes different.
pub(super) struct Change {
    pub(crate) old: Rc<Config>,
    pub(crate) new: Rc<Config>,
    pub(crate) differences: Differences,
    /// The keys of the new config's secrets, in order.
    keys: Vec<[u8; 16]>,
}

impl Change {
    pub(crate) fn new(old: Rc<Config>, new: Rc<Config>, differences: Differences) -> Self {
        let keys = new.doors.all_secrets().map(|named| named.secret.key.0);
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        Self {
            keys,
            old,
            new,
            differences,
        }
    }

    /// Whether the new config has this secret.
    pub(crate) fn keeps(&self, secret: &Secret) -> bool {
        self.keys.binary_search(&secret.0).is_ok()
    }
}

/// What a reload has read, for whose it is to take.
#[derive(Default)]
pub(super) struct Files {
    pub(crate) tables: Vec<ReadTable>,
    /// What they hold that they did not, in words.
    pub(crate) table_news: Vec<String>,
    pub(crate) link: Option<SecurityFiles>,
    /// What WEB hosts show.
    pub(crate) directories: Option<Directories>,
    #[cfg(feature = "tls")]
    pub(crate) authorities: Option<Authorities>,
}

/// What parts have to say of a reload, and to do after it.
#[derive(Default)]
pub(super) struct Report<'a> {
    /// What was taken over, one line with those of others.
    pub(crate) told: Vec<String>,
    /// What people should know of it, a line each.
    pub(crate) warnings: Vec<String>,
    /// The next reload waits for it.
    pub(crate) later: Vec<Doing<'a>>,
}

/// A part that only runs.
pub(super) struct Background(Cell<Option<Doing<'static>>>);

impl Background {
    pub(crate) fn new(task: impl Future<Output = ()> + 'static) -> Rc<Self> {
        Rc::new(Self(Cell::new(Some(Box::pin(task)))))
    }
}

impl Part for Background {
    fn start(self: Rc<Self>, core: &Core) {
        if let Some(task) = self.0.take() {
            core.spawn(task);
        }
    }
}

pub(super) fn as_part<P: Part + 'static>(part: Rc<P>) -> Rc<dyn Part> {
    part
}
