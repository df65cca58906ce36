use std::future::Future;
use std::time::Instant;

use smol::Timer;
use smol::future::or;

/// What `work` gives, if it does so before `deadline`.
pub(super) async fn before<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::at(deadline).await;
        None
    };
    or(async { Some(work.await) }, late).await
}
