//! Those who take what they can, on a thread of their own: who is timed shares
//! none with them.

mod packets;
mod readers;
mod sessions;
mod strangers;
mod surfers;
mod uploads;

pub use packets::{Hold, holders};
pub use readers::{drip_readers, leavers, non_readers, slow_reader};
pub use sessions::{comers_and_goers, sitters};
pub use strangers::{knockers, strangers};
pub use surfers::{Surf, surfers};
pub use uploads::{Spending, spenders, uploaders};

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use portable_atomic::AtomicU64;
use smol::LocalExecutor;
use smol::channel::{Sender, bounded};

use crate::wait::eventually;

/// What became of the attackers so far.
#[derive(Default)]
pub struct Tally {
    begun: AtomicU64,
    done: AtomicU64,
    /// Times that one was cut.
    cuts: AtomicU64,
    /// Whatever the attack counts: bytes, rounds.
    amount: AtomicU64,
    /// They may hurry now.
    hurry: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    /// One more attacker does what it came for.
    fn began(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// One has all that it came for, or cannot have it.
    fn is_done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    fn was_cut(&self) {
        self.cuts.fetch_add(1, Relaxed);
    }

    fn add(&self, amount: usize) {
        self.amount.fetch_add(amount as u64, Relaxed);
    }

    fn failed(&self, why: String) {
        self.failures.lock().expect("no holder panics").push(why);
    }
}

/// Goes on until it is dropped.
pub struct Attack {
    tally: Arc<Tally>,
    count: usize,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// `count` attackers, each of which does what `each` says.
    fn launch<F>(count: usize, each: impl Fn(usize, Arc<Tally>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let tally = Arc::new(Tally::default());
        let shared = tally.clone();
        let (stop, stopped) = bounded(1);
        let thread = std::thread::spawn(move || {
            let executor = LocalExecutor::new();
            let tasks = (0..count).map(|number| executor.spawn(each(number, shared.clone())));
            let tasks: Vec<_> = tasks.collect();
            smol::block_on(executor.run(async {
                let _ = stopped.recv().await;
            }));
            drop(tasks);
        });
        Self {
            tally,
            count,
            stop,
            thread: Some(thread),
        }
    }

    /// Waits until all of them do what they came for.
    pub async fn is_on(&self) {
        eventually("the attack", || {
            self.tally.begun.load(Relaxed) >= self.count as u64
        })
        .await;
    }

    /// Slow ones need not be slow any more.
    pub fn hurry(&self) {
        self.tally.hurry.store(true, Relaxed);
    }

    /// Waits until all of them are through.
    pub async fn is_over(&self) {
        eventually("the attack's end", || {
            self.tally.done.load(Relaxed) >= self.count as u64
        })
        .await;
    }

    pub fn cuts(&self) -> u64 {
        self.tally.cuts.load(Relaxed)
    }

    pub fn amount(&self) -> u64 {
        self.tally.amount.load(Relaxed)
    }

    pub fn failures(&self) -> Vec<String> {
        self.tally
            .failures
            .lock()
            .expect("no holder panics")
            .clone()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What never comes to an end by itself.
async fn for_ever() {
    std::future::pending::<()>().await;
}
