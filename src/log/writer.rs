//! The thread that waits for who reads the log: a full pipe, a terminal that was
//! told to stop, a slow disk. Whether a descriptor takes a line cannot be known
//! beforehand when others write to it too, and to make stderr non-blocking would
//! make it so for the shell as well.

use std::io;
use std::panic;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::form::form;
use super::level::LogLevel;
use super::line::{self, format_line, is_for_stdout};
use super::queue::Queue;

/// Bytes of lines that wait. A reader that lives takes them within milliseconds.
const CAPACITY: usize = if cfg!(feature = "tls") {
    256 * 1024
} else {
    64 * 1024
};

/// The thread calls two system calls: most of this is never touched.
const STACK: usize = 64 * 1024;

/// Longer than most lines.
const LINE: usize = 512;

/// For the last words of a process that crashed.
const LAST_WORDS: Duration = Duration::from_secs(2);

struct Log {
    queue: Queue,
    /// There is a thread that writes; until then whoever speaks does.
    is_threaded: bool,
    /// It waits for a line.
    is_waiting: bool,
    /// Who waits until all is written.
    is_awaited: bool,
}

static LOG: Mutex<Log> = Mutex::new(Log {
    queue: Queue::new(CAPACITY, loss),
    is_threaded: false,
    is_waiting: false,
    is_awaited: false,
});
static MORE: Condvar = Condvar::new();
static WRITTEN: Condvar = Condvar::new();

/// Hands lines to a thread of their own from now on.
pub(crate) fn detach() -> io::Result<()> {
    if std::mem::replace(&mut lock().is_threaded, true) {
        return Ok(());
    }
    let thread = thread::Builder::new().stack_size(STACK);
    // From here: a thread that allocates has a heap of its own in some systems.
    let buffer = Vec::with_capacity(LINE);
    if let Err(error) = thread.spawn(|| write_for_ever(buffer)) {
        lock().is_threaded = false;
        return Err(error);
    }
    panic::set_hook(Box::new(|crash| {
        // Standard error itself may take nothing, and a crash must end.
        let line = line(
            LogLevel::Error,
            format_args!("crashed: {crash}; please report it"),
        );
        push_last(&line);
    }));
    Ok(())
}

/// Waits until every line is written, at most `limit`.
pub(crate) fn finish(limit: Duration) {
    wait(lock(), limit);
}

/// Lines that were lost so far because their reader stood still.
pub(crate) fn lost() -> u64 {
    lock().queue.lost_in_all()
}

pub(super) fn write(line: &[u8]) {
    let mut log = lock();
    if !log.is_threaded {
        drop(log);
        write_out(line);
        return;
    }
    log.queue.push(line);
    let is_waiting = std::mem::take(&mut log.is_waiting);
    drop(log);
    if is_waiting {
        MORE.notify_one();
    }
}

/// From the hook of a panic, which may have come while the log was locked.
fn push_last(line: &str) {
    let end = Instant::now() + LAST_WORDS;
    while Instant::now() < end {
        if let Ok(mut log) = LOG.try_lock() {
            log.queue.push_last(line.as_bytes());
            MORE.notify_one();
            wait(log, LAST_WORDS);
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn wait(mut log: MutexGuard<'_, Log>, limit: Duration) {
    let end = Instant::now() + limit;
    while log.is_threaded && !(log.queue.is_empty() && log.is_waiting) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        log.is_awaited = true;
        log = match WRITTEN.wait_timeout(log, left) {
            Ok((log, _)) => log,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
}

fn write_for_ever(mut line: Vec<u8>) {
    let mut log = lock();
    loop {
        if log.queue.pop(&mut line) {
            drop(log);
            write_out(&line);
            log = lock();
        } else {
            log.is_waiting = true;
            if std::mem::take(&mut log.is_awaited) {
                WRITTEN.notify_all();
            }
            log = match MORE.wait(log) {
                Ok(log) => log,
                Err(poisoned) => poisoned.into_inner(),
            };
            log.is_waiting = false;
        }
    }
}

/// One call a line: some readers take each for a record.
fn write_out(mut line: &[u8]) {
    let stream = match is_for_stdout(line, form()) {
        true => rustix::stdio::stdout(),
        false => rustix::stdio::stderr(),
    };
    while !line.is_empty() {
        match rustix::io::write(stream, line) {
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else made it non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None);
            }
            // Nobody is left to be told that the stream is gone.
            Err(_) => return,
        }
    }
}

fn loss(lost: u64) -> String {
    let lines = if lost == 1 { "line was" } else { "lines were" };
    line(
        LogLevel::Warn,
        format_args!("{lost} {lines} lost: the reader of the log stood still"),
    )
}

fn line(level: LogLevel, message: std::fmt::Arguments<'_>) -> String {
    format_line(level, "log", message, form(), line::format())
}

/// Nothing that holds the lock leaves it half-changed.
fn lock() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
