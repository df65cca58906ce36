//! Work that blocks, with a time limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What blocking `work` gives on a thread of its own; nothing if it takes
/// longer than `limit`, and then nobody waits for it any more: the system's
/// resolver, for one, may try for half a minute.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let place = Arc::new(Mutex::new(None));
    let result = place.clone();
    let work = Box::new(move || {
        let outcome = work();
        if let Ok(mut place) = place.lock() {
            *place = Some(outcome);
        }
    });
    wait_for(limit, work);
    result.lock().ok()?.take()
}

/// The same for every type of result: a thread's code is 4 KiB on MIPS.
fn wait_for(limit: Duration, work: Box<dyn FnOnce() + Send>) {
    let finished = Arc::new(AtomicBool::new(false));
    let (done, waiting) = (finished.clone(), thread::current());
    let spawned = thread::Builder::new().spawn(move || {
        work();
        done.store(true, Ordering::Release);
        waiting.unpark();
    });
    // No room for a thread here: no result either.
    if spawned.is_err() {
        return;
    }
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if finished.load(Ordering::Acquire) || left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_its_time() {
        let long = Duration::from_secs(60);
        assert_eq!(within(long, || 7), Some(7));
        let (held, wait) = std::sync::mpsc::channel::<()>();
        let stuck = move || wait.recv().is_ok();
        assert_eq!(within(Duration::from_millis(10), stuck), None);
        drop(held);
    }
}
