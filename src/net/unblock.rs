#[cfg(test)]
use std::cell::Cell;
use std::future::pending;
use std::sync::{Arc, Mutex};

/// What blocking `work` gives on a thread of smol's. One kind of task for every
/// type of result: each is 3 KiB on MIPS.
pub(crate) async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let place = Arc::new(Mutex::new(None));
    let result = place.clone();
    run(Box::new(move || {
        let outcome = work();
        if let Ok(mut place) = place.lock() {
            *place = Some(outcome);
        }
    }))
    .await;
    let outcome = result.lock().ok().and_then(|mut place| place.take());
    match outcome {
        Some(outcome) => outcome,
        // Work that panicked has taken us with it.
        None => pending().await,
    }
}

async fn run(work: Box<dyn FnOnce() + Send>) {
    #[cfg(test)]
    let _outside = Outside::begin();
    smol::unblock(work).await;
}

#[cfg(test)]
thread_local! {
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// How much such work of this thread is under way: virtual time stands meanwhile.
#[cfg(test)]
pub(super) fn under_way() -> usize {
    UNDER_WAY.get()
}

/// Counted until its end, or until nobody waits for it.
#[cfg(test)]
struct Outside;

#[cfg(test)]
impl Outside {
    fn begin() -> Self {
        UNDER_WAY.set(under_way() + 1);
        Self
    }
}

#[cfg(test)]
impl Drop for Outside {
    fn drop(&mut self) {
        UNDER_WAY.set(under_way() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_comes_back() {
        assert_eq!(smol::block_on(unblock(|| "done".to_owned())), "done");
    }
}
