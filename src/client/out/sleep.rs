//! Whether a client's keys are expanded: those of the silent are not.

use super::{ClientOut, Content};

/// Bytes of --buffers for each client whose keys may stay expanded, which takes
/// 2 to 3 KiB more: 256 clients with 1 MiB. What a burst of clients leaves
/// behind in the heap is not given back to the system.
const BUFFERS_PER_AWAKE: usize = 4096;

impl ClientOut {
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.get()
    }

    /// Its keys are expanded from here on. Whether it was asleep.
    pub(crate) fn wake_up(&self) -> bool {
        let was_asleep = self.asleep.replace(false);
        if was_asleep {
            let awake = &self.context.awake;
            awake.set(awake.get() + 1);
        }
        was_asleep
    }

    pub(super) fn fall_asleep(&self) {
        if !self.asleep.replace(true) {
            let awake = &self.context.awake;
            awake.set(awake.get() - 1);
        }
    }

    /// More clients have expanded keys than the memory for buffers allows.
    pub(crate) fn is_awake_in_a_crowd(&self) -> bool {
        let allowed = self.context.buffers.total_bytes() / BUFFERS_PER_AWAKE;
        !self.asleep.get() && self.context.awake.get() > allowed
    }

    /// Drops what can be computed again at the next byte.
    pub(crate) fn hibernate(&self) {
        self.fall_asleep();
        if let Content::Packets(cipher) | Content::Followed(cipher, _) =
            &mut self.state.borrow_mut().content
        {
            cipher.hibernate();
        }
    }
}
