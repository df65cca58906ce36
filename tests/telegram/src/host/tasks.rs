//! Tasks that run one after the other, in the order in which they were woken,
//! when they are told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use smol::future::Boxed;

use crate::shared::lock;

#[derive(Default)]
pub(super) struct Tasks(Mutex<State>);

#[derive(Default)]
struct State {
    live: BTreeMap<u64, Arc<Task>>,
    last: u64,
    woken: VecDeque<Arc<Task>>,
    /// Who makes the tasks run, while it waits.
    driver: Option<Waker>,
    is_over: bool,
}

struct Task {
    number: u64,
    /// `None` while it runs, and when it is over.
    future: Mutex<Option<Boxed<()>>>,
    is_woken: AtomicBool,
    tasks: Weak<Tasks>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.is_woken.swap(true, SeqCst) {
            return;
        }
        let Some(tasks) = self.tasks.upgrade() else {
            return;
        };
        let driver = {
            let mut state = lock(&tasks.0);
            if state.is_over {
                return;
            }
            state.woken.push_back(self);
            state.driver.take()
        };
        driver.into_iter().for_each(Waker::wake);
    }
}

impl Tasks {
    pub fn spawn(self: &Arc<Self>, future: Boxed<()>) {
        let task = {
            let mut state = lock(&self.0);
            if state.is_over {
                drop(state);
                return drop(future);
            }
            state.last += 1;
            let task = Arc::new(Task {
                number: state.last,
                future: Mutex::new(Some(future)),
                is_woken: AtomicBool::new(false),
                tasks: Arc::downgrade(self),
            });
            state.live.insert(task.number, task.clone());
            task
        };
        task.wake();
    }

    /// Polls the task that was woken first; `false`: there is none.
    pub fn run_one(&self) -> bool {
        let Some(task) = lock(&self.0).woken.pop_front() else {
            return false;
        };
        task.is_woken.store(false, SeqCst);
        let Some(mut future) = lock(&task.future).take() else {
            return true;
        };
        let waker = Waker::from(task.clone());
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => *lock(&task.future) = Some(future),
            Poll::Ready(()) => {
                lock(&self.0).live.remove(&task.number);
            }
        }
        true
    }

    /// Ready when a task can run; otherwise wakes `cx` then.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if !state.woken.is_empty() {
            return Poll::Ready(());
        }
        let before = state.driver.replace(cx.waker().clone());
        // Not under the lock: nobody knows what else goes with it.
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Wakes the driver although no task can run.
    pub fn nudge(&self) {
        let driver = lock(&self.0).driver.take();
        driver.into_iter().for_each(Waker::wake);
    }

    /// Drops all tasks, and those that are still to come.
    pub fn end(&self) {
        let (live, driver) = {
            let mut state = lock(&self.0);
            state.is_over = true;
            state.woken.clear();
            (std::mem::take(&mut state.live), state.driver.take())
        };
        drop(driver);
        for task in live.into_values() {
            let future = lock(&task.future).take();
            drop(future);
        }
    }
}
