//! Who asks whether an app is there, and how.

use std::cell::Cell;
use std::time::Instant;

/// The streams of a session that ask.
#[derive(Default)]
pub(super) struct Askers {
    count: Cell<u32>,
    asking: Cell<Asking>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Asking {
    /// Nobody does, or the carrier cannot be asked.
    #[default]
    No,
    /// The kernel asks the one at the other end of the connection.
    Kernel,
    /// That is a web server in front of us, which would answer for the app: since then a
    /// ping has been on its way.
    Ping(Instant),
}

impl Askers {
    /// One more; whether it is the first.
    pub(super) fn come(&self) -> bool {
        self.count.replace(self.count.get() + 1) == 0
    }

    /// One less; what the last one has to end.
    pub(super) fn leave(&self) -> Asking {
        self.count.set(self.count.get().saturating_sub(1));
        match self.count.get() {
            0 => self.asking.take(),
            _ => Asking::No,
        }
    }

    pub(super) fn asking(&self) -> Asking {
        self.asking.get()
    }

    pub(super) fn set_asking(&self, asking: Asking) {
        self.asking.set(asking);
    }
}
