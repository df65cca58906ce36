use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// A waker that remembers that it was woken. The link's task shares one among all its
/// stalled streams, and looks at these only after it was woken, not whenever it runs.
#[derive(Default)]
pub(super) struct Signal {
    is_set: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Signal {
    /// Whom to wake.
    pub(crate) fn set_task(&self, waker: &Waker) {
        if let Ok(mut task) = self.task.lock() {
            match &*task {
                Some(known) if known.will_wake(waker) => {}
                _ => *task = Some(waker.clone()),
            }
        }
    }

    /// Whether it was woken since the last time.
    pub(crate) fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_set.store(true, Ordering::Release);
        if let Ok(task) = self.task.lock()
            && let Some(waker) = &*task
        {
            waker.wake_by_ref();
        }
    }
}
