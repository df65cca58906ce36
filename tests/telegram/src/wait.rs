//! Waiting for conditions with a deadline, never for luck.

use std::future::Future;
use std::time::{Duration, Instant};

use smol::future::FutureExt;

/// Whether the binary runs in an emulator (`SMOL_MTPROXY_RUNNER`): it is slow
/// then, and its memory is mostly the emulator's.
pub fn is_emulated() -> bool {
    std::env::var_os("SMOL_MTPROXY_RUNNER").is_some()
}

/// How long a condition may take before a test gives up. Longer in an emulator.
pub fn patience() -> Duration {
    Duration::from_secs(if is_emulated() { 120 } else { 30 })
}

/// Runs a whole test, which may take several times [`patience`].
pub fn run(test: impl Future<Output = ()>) {
    let finished = smol::block_on(before(patience() * 6, test));
    assert!(finished.is_some(), "the test hangs");
}

/// The future's value, or a panic that names `what` after [`patience`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match before(patience(), future).await {
        Some(value) => value,
        None => panic!("gave up waiting: {what}"),
    }
}

/// The future's value, or `None` when `limit` passes first.
pub async fn before<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let expiry = async {
        smol::Timer::after(limit).await;
        None
    };
    async { Some(future.await) }.or(expiry).await
}

/// Returns once `condition` holds; panics naming `what` after [`patience`].
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        smol::Timer::after(Duration::from_millis(5)).await;
    }
}
