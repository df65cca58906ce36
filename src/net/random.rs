use std::time::Duration;

/// Fills `bytes` with randomness from the kernel.
///
/// The kernel's generator cannot fail once it is seeded, and getrandom(2) waits
/// for that; on a kernel without it the process cannot have secrets and stops.
pub fn fill_random(bytes: &mut [u8]) {
    if getrandom::fill(bytes).is_err() {
        eprintln!("smol-mtproxy: this system has no random numbers; is /dev/urandom missing?");
        std::process::exit(71);
    }
}

/// Something between nothing and `whole`, for jitter.
pub fn random_part(whole: Duration) -> Duration {
    let mut bytes = [0; 4];
    fill_random(&mut bytes);
    whole.saturating_mul(u32::from_le_bytes(bytes)) / u32::MAX
}
