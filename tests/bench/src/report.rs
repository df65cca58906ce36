//! The table, line by line as it is measured.

use std::collections::HashMap;

use fake_telegram::fairness::{Layout, Outcome};

use crate::flood::{Crowd, Flood};
use crate::idle::Idle;
use crate::latency::Waits;
use crate::load::Cost;
use crate::subject::{RELAY, Subject};

/// Speed and processor time, in units of its load.
#[derive(Clone, Copy)]
struct Figure {
    speed: f64,
    processor: f64,
}

/// Prints each figure with its ratio to the plain relay's and, in split mode, to
/// that of `both`; those come first.
#[derive(Default)]
pub struct Report {
    /// By subject and load.
    costs: HashMap<(String, String), Figure>,
    /// p50 and p99 by subject.
    waits: HashMap<String, (f64, f64)>,
}

impl Report {
    pub fn transfer(&mut self, subject: &Subject, load: &str, cost: Cost) {
        let gigabytes = cost.amount / 1e9;
        let figures = format!(
            "{:7.0} MB/s {:6.2} CPU-s/GB",
            cost.amount / 1e6 / cost.seconds,
            cost.processor / gigabytes
        );
        self.cost(subject, load, &figures, cost);
    }

    pub fn echo(&mut self, subject: &Subject, load: &str, cost: Cost) {
        let figures = format!(
            "{:7.0} msg/s {:5.2} CPU-s/million",
            cost.amount / cost.seconds,
            cost.processor / cost.amount * 1e6
        );
        self.cost(subject, load, &figures, cost);
    }

    pub fn connects(&mut self, subject: &Subject, cost: Cost) {
        let figures = format!(
            "{:7.0} /s    {:5.0} CPU-µs each",
            cost.amount / cost.seconds,
            cost.processor / cost.amount * 1e6
        );
        self.cost(subject, "connect and echo", &figures, cost);
    }

    fn cost(&mut self, subject: &Subject, load: &str, figures: &str, cost: Cost) {
        let own = Figure {
            speed: cost.amount / cost.seconds,
            processor: cost.processor / cost.amount,
        };
        let key = |name: &str| (name.to_owned(), load.to_owned());
        self.costs.insert(key(&subject.name), own);
        let ratios = against(subject, |name| {
            let other = self.costs.get(&key(name))?;
            let (speed, processor) = (own.speed / other.speed, own.processor / other.processor);
            Some(format!("speed ×{speed:.2}, CPU ×{processor:.2}"))
        });
        line(&subject.name, load, &format!("{figures}   {ratios}"));
    }

    pub fn waits(&mut self, subject: &Subject, waits: &Waits) {
        let own = (waits.percentile(50), waits.percentile(99));
        self.waits.insert(subject.name.clone(), own);
        let ratios = against(subject, |name| {
            let other = self.waits.get(name)?;
            let (p50, p99) = (own.0 / other.0, own.1 / other.1);
            Some(format!("p50 ×{p50:.2}, p99 ×{p99:.2}"))
        });
        let figures = format!("p50 {:5.0} µs, p99 {:5.0} µs     ", own.0, own.1);
        line(
            &subject.name,
            "echo, 1 client",
            &format!("{figures}   {ratios}"),
        );
    }

    pub fn idle(&self, subject: &Subject, clients: usize, parts: &[Idle]) {
        for (part, idle) in subject.part_names().zip(parts) {
            let figures = format!(
                "{:5.0} bytes each; {:.1} MB empty, {:.1} MB after they left",
                idle.each,
                idle.empty as f64 / 1e6,
                idle.after as f64 / 1e6,
            );
            let load = format!("{clients} idle clients");
            line(format!("{} {part}", subject.name).trim(), &load, &figures);
        }
    }

    pub fn slow_answer(&self, subject: &Subject, grown: u64) {
        let figures = format!("{:5} KiB more resident", grown / 1024);
        line(&subject.name, "1 MiB answers, not read", &figures);
    }

    pub fn flood(&self, flood: &Flood) {
        let alone = flood.alone.percentile(99);
        for (load, waits) in [
            ("20 good clients alone", &flood.alone),
            ("flood at another server", &flood.elsewhere),
            ("flood at the proxy", &flood.flooded),
        ] {
            let (p50, p99) = (waits.percentile(50), waits.percentile(99));
            let ratio = p99 / alone;
            let figures =
                format!("p50 {p50:5.0} µs, p99 {p99:5.0} µs        p99 ×{ratio:.2} of alone");
            line("default flags", load, &figures);
        }
        let figures = format!(
            "{:7.0} bad handshakes/s from 200 addresses, {:.0} % of a processor{}, {:.1} MB \
             resident before, {:.1} MB at the end",
            flood.rate,
            flood.processor * 100.0,
            if flood.has_own_processor {
                ""
            } else {
                " that the load had too"
            },
            flood.resident.0 as f64 / 1e6,
            flood.resident.1 as f64 / 1e6,
        );
        line("default flags", "flood at the proxy", &figures);
    }

    pub fn crowd(&self, crowd: &Crowd) {
        let figures = format!(
            "{:5.0} bytes each; {:.1} MB empty, {:.1} MB after they left",
            crowd.each,
            crowd.empty as f64 / 1e6,
            crowd.after as f64 / 1e6,
        );
        let load = format!("{} half-open", crowd.count);
        line("middle dd", &load, &figures);
    }
}

/// A line for each of those who were watched, and one for each other figure.
pub fn outcome(row: &str, layout: Layout, outcome: &Outcome) {
    println!("{}, {}", row.replace('_', " "), layout.name());
    print!("{outcome}");
}

/// The ratios to those with whom the subject is compared.
fn against(subject: &Subject, ratios: impl Fn(&str) -> Option<String>) -> String {
    let mut text = ratios(RELAY).unwrap_or_default();
    if let Some(ratios) = subject.rival.as_deref().and_then(ratios) {
        text.push_str(&format!("; of both: {ratios}"));
    }
    text
}

fn line(subject: &str, load: &str, figures: &str) {
    println!("{subject:25} {load:24} {figures}");
}
