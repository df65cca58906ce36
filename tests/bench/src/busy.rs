//! Whether somebody else used the machine while something was timed.

use std::fs;
use std::io;
use std::time::Instant;

use crate::process::{self, TICKS_PER_SECOND};
use crate::subject::Subject;

/// Foreign processor time from which on a figure says nothing: this part of one
/// processor, and as much as the kernel's own ticks may be wrong by.
const MOST_FOREIGN: f64 = 0.05;
const ROUNDING: f64 = 0.03;

/// Columns of the first line of /proc/stat that are work of processes, or were taken
/// by another machine: user, nice, system and steal.
const WORK: [usize; 4] = [0, 1, 2, 7];

/// Begun before a load.
pub struct Meter<'a> {
    subject: &'a Subject,
    started: Instant,
    processor: f64,
    own: f64,
    machine: f64,
}

/// What a load took.
#[derive(Clone, Copy)]
pub struct Taken {
    pub seconds: f64,
    /// Processor time of the subject.
    pub processor: f64,
    /// Others worked too.
    pub was_busy: bool,
}

impl<'a> Meter<'a> {
    pub fn start(subject: &'a Subject) -> io::Result<Self> {
        Ok(Self {
            subject,
            processor: subject.processor_seconds()?,
            own: process::processor_seconds(std::process::id())?,
            machine: machine_seconds()?,
            started: Instant::now(),
        })
    }

    pub fn stop(self) -> io::Result<Taken> {
        let seconds = self.started.elapsed().as_secs_f64();
        let machine = machine_seconds()? - self.machine;
        let own = process::processor_seconds(std::process::id())? - self.own;
        let processor = self.subject.processor_seconds()? - self.processor;
        Ok(Taken {
            seconds,
            processor,
            was_busy: machine - own - processor > seconds * MOST_FOREIGN + ROUNDING,
        })
    }
}

/// Processor time that all processes have had since the machine's start.
fn machine_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let columns: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|column| column.parse().ok())
        .collect();
    let ticks = WORK.iter().filter_map(|column| columns.get(*column));
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}
