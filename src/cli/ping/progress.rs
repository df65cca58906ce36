use std::io::{IsTerminal, Write, stderr};

use crate::wire::dc::DcId;

/// What stderr shows while it goes on; on a terminal also a line that is wiped again.
pub(super) struct Progress {
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
        }
    }

    /// Stays.
    pub(super) fn say(&self, text: &str) {
        self.clear();
        eprintln!("smol-mtproxy: {text}");
    }

    pub(super) fn show(&self, number: usize, total: usize, dcs: &[DcId]) {
        if self.is_terminal {
            let dcs = dcs.iter().map(|dc| dc.to_string()).collect::<Vec<_>>();
            let what = dcs.join(", ");
            self.write(&format!("\r\x1b[K{number} of {total}: DC {what} … "));
        }
    }

    pub(super) fn clear(&self) {
        if self.is_terminal {
            self.write("\r\x1b[K");
        }
    }

    /// Whoever closed stderr sees none of it.
    fn write(&self, text: &str) {
        let mut stderr = stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }
}
