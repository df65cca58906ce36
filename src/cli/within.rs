use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What blocking `work` gives on a thread of its own; nothing if it takes
/// longer than `limit`, and then nobody waits for it any more: the system's
/// resolver, for one, may try for half a minute.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    result.recv_timeout(limit).ok()
}
