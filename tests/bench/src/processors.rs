//! Who runs on which processor.

use std::fs;
use std::io;
use std::process;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// This process, and those that it starts, leave the first of the machine's
/// processors to others until this is dropped. Without it a proxy pays for the
/// load's own work: the scheduler lets a process run for milliseconds before
/// another one's turn. With one processor nothing can be kept apart.
pub struct Apart {
    all: CpuSet,
    first: CpuSet,
}

impl Apart {
    pub fn new() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let (mut first, mut others) = (CpuSet::new(), all);
        if let Some(number) = (0..CpuSet::MAX_CPU).find(|number| all.is_set(*number))
            && all.count() > 1
        {
            first.set(number);
            others.unset(number);
        } else {
            first = all;
        }
        keep(process::id(), &others)?;
        Ok(Self { all, first })
    }

    /// Gives a process the first processor.
    pub fn give_first(&self, pid: u32) -> io::Result<()> {
        keep(pid, &self.first)
    }

    pub fn is_possible(&self) -> bool {
        self.all.count() > 1
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = keep(process::id(), &self.all);
    }
}

/// Keeps every thread of a process on these processors.
fn keep(pid: u32, processors: &CpuSet) -> io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = thread?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        if let Some(thread) = number.and_then(Pid::from_raw) {
            sched_setaffinity(Some(thread), processors)?;
        }
    }
    Ok(())
}
