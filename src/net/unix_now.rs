use std::time::{SystemTime, UNIX_EPOCH};

/// This machine's time in seconds since 1970; 0 where its clock is before that.
pub fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
