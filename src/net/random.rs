//! Randomness from the kernel. A file of its own, as keys and jitter share nothing else.

use std::time::Duration;

/// For the log's reader.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Fills `bytes` with randomness from the kernel.
///
/// The kernel's generator cannot fail once it is seeded, and getrandom(2) waits
/// for that; on a kernel without it the process cannot have secrets and stops.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    if getrandom::fill(bytes).is_err() {
        error!("this system has no random numbers; is /dev/urandom missing?");
        crate::log::finish(LAST_WORDS);
        std::process::exit(71);
    }
}

/// Something between nothing and `whole`, for jitter.
pub(crate) fn random_part(whole: Duration) -> Duration {
    let mut bytes = [0; 4];
    fill_random(&mut bytes);
    whole.saturating_mul(u32::from_le_bytes(bytes)) / u32::MAX
}
