use std::cell::Cell;
use std::task::Waker;

/// The way of those who share a connection to the task that owns its socket: they wake it,
/// and may leave it why the connection has to end.
pub(crate) struct TaskSlot<Fault> {
    task: Cell<Option<Waker>>,
    fault: Cell<Option<Fault>>,
}

impl<Fault> Default for TaskSlot<Fault> {
    fn default() -> Self {
        Self {
            task: Cell::new(None),
            fault: Cell::new(None),
        }
    }
}

impl<Fault> TaskSlot<Fault> {
    /// The task waits for what comes.
    pub(crate) fn fill(&self, waker: &Waker) {
        self.task.set(Some(waker.clone()));
    }

    /// There is something to do: wakes the task, once for all that comes until it waits
    /// again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.task.take() {
            waker.wake();
        }
    }

    /// The connection is to end at the task's next turn. Of several reasons the first one
    /// counts.
    pub(crate) fn fail(&self, fault: Fault) {
        let first = self.fault.take();
        self.fault.set(Some(first.unwrap_or(fault)));
        self.wake();
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_help::WakeCount;

    #[test]
    fn the_task_is_woken_once_for_all_that_comes() {
        let (woken, waker) = WakeCount::new();
        let slot = TaskSlot::<()>::default();
        slot.wake();
        slot.fill(&waker);
        assert_eq!(woken.get(), 0);
        slot.wake();
        slot.wake();
        assert_eq!(woken.get(), 1);
        slot.fill(&waker);
        slot.fail(());
        assert_eq!(woken.get(), 2);
    }

    #[test]
    fn the_first_reason_counts() {
        let slot = TaskSlot::default();
        slot.fail("slow");
        slot.fail("broken");
        assert_eq!(slot.take_fault(), Some("slow"));
        assert_eq!(slot.take_fault(), None);
        slot.fail("broken");
        assert_eq!(slot.take_fault(), Some("broken"));
    }
}
