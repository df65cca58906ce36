use std::future::Future;
use std::pin::Pin;

use smol::{LocalExecutor, Task};

/// Reads of one task, in one direction, before the others get their turn.
pub(crate) const READS_PER_TURN: usize = 4;

/// The thread's tasks, in two ranks: those that are served at once, and those
/// of peers that have proven nothing, which take a step a turn of the
/// [`Reactor`](super::Reactor), or a fifth of a busy one, behind all others. So
/// a crowd of strangers does not make a client wait for all of them.
///
/// Every future goes into a box, so that the executor's code is in the program
/// once and not once a kind of task: 2 to 4 KiB each on MIPS.
#[derive(Default)]
pub(crate) struct Executor {
    prompt: LocalExecutor<'static>,
    patient: LocalExecutor<'static>,
}

impl Executor {
    /// Starts a task that is served at once.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Task<()> {
        start(&self.prompt, Box::pin(future))
    }

    /// Starts a task that can wait until nobody else wants anything.
    pub(crate) fn spawn_patient(&self, future: impl Future<Output = ()> + 'static) -> Task<()> {
        start(&self.patient, Box::pin(future))
    }

    /// `future`'s output; the prompt tasks run meanwhile.
    pub(super) async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.prompt.run(future).await
    }

    /// Completes after one step of one patient task, once one has something to
    /// do.
    pub(super) async fn step_patient(&self) {
        self.patient.tick().await;
    }
}

fn start(executor: &LocalExecutor<'static>, future: Pin<Box<dyn Future<Output = ()>>>) -> Task<()> {
    executor.spawn(future)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::net::Reactor;

    #[test]
    fn strangers_wait_for_everyone_else() {
        let (reactor, executor) = (Reactor::new().unwrap(), Executor::default());
        let order = Rc::new(RefCell::new(String::new()));
        let task = |name: char| {
            let order = order.clone();
            async move {
                for _ in 0..3 {
                    order.borrow_mut().push(name);
                    smol::future::yield_now().await;
                }
            }
        };
        let strangers = [
            executor.spawn_patient(task('s')),
            executor.spawn_patient(task('t')),
        ];
        let clients = [executor.spawn(task('c')), executor.spawn(task('d'))];
        reactor.block_on(&executor, async {
            for task in clients.into_iter().chain(strangers) {
                task.await;
            }
        });
        let order = order.borrow();
        let (first, then) = order.split_at(6);
        assert!(!first.contains(['s', 't']), "{order}");
        assert_eq!(then, "ststst");
    }

    #[test]
    fn a_stranger_is_woken_by_timers_and_other_threads() {
        let (reactor, executor) = (Reactor::new().unwrap(), Executor::default());
        let (sender, receiver) = smol::channel::bounded::<u8>(1);
        let clock = reactor.clone();
        let stranger = executor.spawn_patient(async move {
            clock.sleep(Duration::from_millis(5)).await;
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                sender.send_blocking(7)
            });
            assert_eq!(receiver.recv().await, Ok(7));
            thread.join().unwrap().unwrap();
        });
        reactor.block_on(&executor, stranger);
    }
}
