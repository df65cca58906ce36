use std::future::pending;
use std::sync::{Arc, Mutex};

/// What blocking `work` gives on a thread of smol's. One kind of task for every
/// type of result: each is 3 KiB on MIPS.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
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
    smol::unblock(work).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_comes_back() {
        assert_eq!(smol::block_on(unblock(|| "done".to_owned())), "done");
    }
}
