//! The table, line by line as it is measured.

use std::collections::HashMap;

use crate::load::{Cost, Idle};

/// Prints each figure with its ratio to the plain relay's, which comes first.
#[derive(Default)]
pub struct Report {
    relay: HashMap<String, Cost>,
}

impl Report {
    pub fn transfer(&mut self, subject: &str, load: &str, cost: Cost) {
        let gigabytes = cost.amount / 1e9;
        let figures = format!(
            "{:7.0} MB/s {:6.2} CPU-s/GB",
            cost.amount / 1e6 / cost.seconds,
            cost.processor / gigabytes
        );
        self.line(subject, load, &figures, cost);
    }

    pub fn echo(&mut self, subject: &str, cost: Cost) {
        let figures = format!(
            "{:7.0} msg/s {:5.2} CPU-s/million",
            cost.amount / cost.seconds,
            cost.processor / cost.amount * 1e6
        );
        self.line(subject, "echo, 50 clients", &figures, cost);
    }

    pub fn connects(&mut self, subject: &str, cost: Cost) {
        let figures = format!(
            "{:7.0} /s    {:5.0} CPU-µs each",
            cost.amount / cost.seconds,
            cost.processor / cost.amount * 1e6
        );
        self.line(subject, "connect and echo", &figures, cost);
    }

    pub fn idle(&self, subject: &str, clients: usize, idle: Idle) {
        println!(
            "{subject:12} {:24} {:5.0} bytes each; {:.1} MB empty, {:.1} MB after they left",
            format!("{clients} idle clients"),
            idle.each,
            idle.empty as f64 / 1e6,
            idle.after as f64 / 1e6,
        );
    }

    pub fn slow_answer(&self, grown: u64) {
        println!(
            "{:12} {:24} {:5} KiB more resident",
            "middle dd",
            "1 MiB answers, not read",
            grown / 1024
        );
    }

    fn line(&mut self, subject: &str, load: &str, figures: &str, cost: Cost) {
        let base = *self.relay.entry(load.to_owned()).or_insert(cost);
        let speed = (cost.amount / cost.seconds) / (base.amount / base.seconds);
        let processor = (cost.processor / cost.amount) / (base.processor / base.amount);
        println!("{subject:12} {load:24} {figures}   speed ×{speed:.2}, CPU ×{processor:.2}");
    }
}
