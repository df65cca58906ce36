//! Where a fake Telegram runs: on threads of its own, in the machine's time,
//! or on the test's thread, in a time that the test turns.
//!
//! # Driving it
//!
//! [`FakeTelegram::start_driven`](crate::telegram::FakeTelegram::start_driven)
//! gives the fake and its [`Driven`]. Nothing happens in it, neither in the
//! background nor by the machine's clock, but what the test's own loop lets
//! happen. One turn of that loop:
//!
//! 1. [`Driven::set_time`]: what time it is, counted from the start;
//! 2. [`Driven::look`]: takes from the kernel which sockets can go on;
//! 3. [`Driven::run_ready`]: runs its tasks until none can go on;
//! 4. [`Driven::next_timer`]: when it has something to do at the latest.
//!
//! [`Driven::turn`] is these four. Then the loop waits for the first of
//! - [`Driven::descriptor`] is readable (an epoll descriptor, so it can be a
//!   source of another epoll, edge-triggered too, as `look` leaves nothing),
//! - the time of `next_timer`,
//! - [`Driven::woken`]: the test itself called the fake (`ping`, `rotate`,
//!   `behave`) and thereby gave it something to do.
//!
//! After a turn the fake is idle exactly until one of them comes. A loop in
//! virtual time may jump to the first timer of all when nothing is readable.
//!
//! Rules:
//! - The time never goes back, and `set_time` comes before anything else in a
//!   new time: a task that starts to wait before it counts from the old one.
//!   A loop that jumps best calls it from the jump; a test that calls the fake
//!   after other timers fired sets the time first.
//! - One thread calls all of it, and one task waits in `woken`.
//! - The fake's wall clock is the machine's at the start and goes with
//!   `set_time`, so the proxy's must, too: they may differ by 30 s.
//! - Who asks the fake from another thread (a blocking fetch by HTTP) is
//!   answered only as long as somebody drives.
//! - `FakeTelegram::behave` returns when it has been obeyed, as on threads; it
//!   runs tasks for that. Dropping the `FakeTelegram` ends all tasks and closes
//!   all sockets at once; the `Driven` then has nothing to do for ever.

mod driven;
mod socket;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;

pub use driven::Driven;
pub(crate) use socket::{Listener, Stream};

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use smol::future::FutureExt;
use smol::{Executor, Timer};

use crate::crypto::unix_time;

/// What the fake's tasks get from where they run.
pub(crate) enum Host {
    Threads(Weak<Executor<'static>>),
    Driven(Arc<Driven>),
}

impl Host {
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Threads(executor) => {
                if let Some(executor) = executor.upgrade() {
                    executor.spawn(task).detach();
                }
            }
            Self::Driven(driven) => driven.spawn(Box::pin(task)),
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        match self {
            Self::Threads(_) => {
                Timer::after(duration).await;
            }
            Self::Driven(driven) => driven.sleep(duration).await,
        }
    }

    /// The future's value, or `None` when `limit` passes first.
    pub async fn before<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let expiry = async {
            self.sleep(limit).await;
            None
        };
        async { Some(future.await) }.or(expiry).await
    }

    pub fn unix_time(&self) -> u32 {
        match self {
            Self::Threads(_) => unix_time(),
            Self::Driven(driven) => driven.unix_time(),
        }
    }

    pub fn stream(&self, stream: TcpStream) -> io::Result<Stream> {
        Stream::new(self, stream)
    }

    pub fn listener(&self, listener: TcpListener) -> io::Result<Listener> {
        Listener::new(self, listener)
    }
}
