use std::future::Future;
use std::pin::Pin;

use smol::{LocalExecutor, Task};

/// Starts a task. Its future goes into a box, so that the executor's code is in
/// the program once and not once a kind of task: 2 to 4 KiB each on MIPS.
pub fn spawn(
    executor: &LocalExecutor<'static>,
    future: impl Future<Output = ()> + 'static,
) -> Task<()> {
    let boxed: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    executor.spawn(boxed)
}
