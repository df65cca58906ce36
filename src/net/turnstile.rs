use std::sync::Arc;

use smol::lock::Mutex;

use super::unblock;

/// Work that blocks, a piece at a time: two never run at once, not even if who
/// wanted the first has given up waiting for it.
#[derive(Clone, Default)]
pub(crate) struct Turnstile(Arc<Mutex<()>>);

impl Turnstile {
    /// Waits for its turn and calls `prepare` only then, so that the work is made of
    /// the newest state. If there is work, it runs on another thread; gives its result.
    pub(crate) async fn run<W, T>(&self, prepare: impl FnOnce() -> Option<W>) -> Option<T>
    where
        W: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let turn = self.0.lock_arc().await;
        let work = prepare()?;
        let work = move || {
            let outcome = work();
            drop(turn);
            outcome
        };
        Some(unblock(work).await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use smol::future::{poll_once, zip};

    use super::*;

    #[test]
    fn the_second_waits_for_the_first_even_if_nobody_waits_for_that() {
        let (turnstile, running) = (Turnstile::default(), Arc::new(AtomicUsize::new(0)));
        let (go, wait) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let first = running.clone();
        let first = Box::pin(turnstile.run(move || {
            Some(move || {
                first.fetch_add(1, Ordering::SeqCst);
                started.send(()).unwrap();
                wait.recv().unwrap();
                first.fetch_sub(1, Ordering::SeqCst);
            })
        }));
        let second = || {
            let running = running.clone();
            turnstile.run(move || Some(move || running.load(Ordering::SeqCst)))
        };
        let seen = smol::block_on(async {
            let mut first = first;
            assert!(poll_once(&mut first).await.is_none());
            has_started.recv().unwrap();
            drop(first);
            let release = async {
                smol::future::yield_now().await;
                go.send(()).unwrap();
            };
            zip(second(), release).await.0
        });
        assert_eq!(seen, Some(0));
        let nothing = turnstile.run(|| None::<fn()>);
        assert_eq!(smol::block_on(nothing), None);
    }
}
