use std::cell::Cell;

use crate::metrics::Metrics;
use crate::wire::rpc::MAX_CLOCK_OFFSET;

/// This machine's clock beside that of an HTTP server.
#[derive(Default)]
pub(super) struct Skew {
    is_off: Cell<bool>,
}

impl Skew {
    /// `theirs` is the time at `place` just now; says so once when `ours` is
    /// off, and when it is right again.
    pub(crate) fn compare(&self, metrics: &Metrics, ours: u64, theirs: u64, place: &str) {
        let offset = ours.abs_diff(theirs);
        metrics.clock_offset.set(offset);
        let is_off = offset > u64::from(MAX_CLOCK_OFFSET);
        if self.is_off.replace(is_off) == is_off {
            return;
        }
        let direction = if ours < theirs { "behind" } else { "ahead of" };
        if is_off {
            warn!(
                "this machine's clock is {offset} s {direction} that of {place}: middle proxies refuse more than {MAX_CLOCK_OFFSET} s, and TLS clients are judged by it; set it (NTP)"
            );
        } else {
            info!("this machine's clock is right again");
        }
    }
}
