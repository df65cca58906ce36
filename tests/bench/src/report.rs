//! The table.

use std::collections::HashMap;

use fake_telegram::fairness::{Layout, Outcome};

use crate::busy::Taken;
use crate::flood::{Crowd, Flood};
use crate::idle::Idle;
use crate::latency::Waits;
use crate::load::Cost;
use crate::subject::{RELAY, SPLICE, Subject};

/// A round's figure: its two values, in the units of its load.
#[derive(Clone, Copy)]
struct Figure {
    values: [f64; 2],
    was_busy: bool,
}

/// How the figures of a load are written.
#[derive(Clone, Copy)]
enum Load {
    Transfer,
    Echoes,
    Connects,
    Waits,
}

/// The rounds of one subject and load.
struct Row {
    subject: String,
    name: String,
    load: Load,
    rival: Option<(&'static str, String)>,
    rounds: Vec<Figure>,
}

/// Fewer rounds say little.
const ROUNDS: usize = 5;

/// If the plain relay's fastest round is faster than its slowest one by more than
/// this part of its median, the machine was another one meanwhile.
const MOST_SPREAD: f64 = 0.10;

/// Collects the rounds of traffic; prints their medians, each with its ratio to the
/// relays' and, in split mode, to that of `both`: of each round, and then the median of
/// these. All else is printed as it comes.
#[derive(Default)]
pub struct Report {
    /// In the order in which they came first.
    rows: Vec<Row>,
    /// By subject and load.
    places: HashMap<(String, String), usize>,
}

impl Report {
    pub fn transfer(&mut self, subject: &Subject, load: &str, cost: Cost) {
        self.cost(subject, load, Load::Transfer, cost);
    }

    pub fn echo(&mut self, subject: &Subject, load: &str, cost: Cost) {
        self.cost(subject, load, Load::Echoes, cost);
    }

    pub fn connects(&mut self, subject: &Subject, cost: Cost) {
        self.cost(subject, "connect and echo", Load::Connects, cost);
    }

    fn cost(&mut self, subject: &Subject, name: &str, load: Load, cost: Cost) {
        let taken = cost.taken;
        let values = [cost.amount / taken.seconds, taken.processor / cost.amount];
        self.add(subject, name, load, values, taken);
    }

    pub fn waits(&mut self, subject: &Subject, waits: &Waits, taken: Taken) {
        let values = [waits.percentile(50), waits.percentile(99)];
        self.add(subject, "echo, 1 client", Load::Waits, values, taken);
    }

    fn add(&mut self, subject: &Subject, name: &str, load: Load, values: [f64; 2], taken: Taken) {
        let key = (subject.name.clone(), name.to_owned());
        let place = *self.places.entry(key).or_insert_with(|| {
            self.rows.push(Row {
                subject: subject.name.clone(),
                name: name.to_owned(),
                load,
                rival: subject.rival.clone(),
                rounds: Vec::new(),
            });
            self.rows.len() - 1
        });
        self.rows[place].rounds.push(Figure {
            values,
            was_busy: taken.was_busy,
        });
    }

    /// The medians of all rounds, and whether they can be believed.
    pub fn print(&self) {
        let mut doubted = 0;
        let rounds = self.rows.iter().map(|row| row.rounds.len()).max();
        for row in &self.rows {
            let others = [("plain", RELAY), ("splice", SPLICE)];
            let others = others
                .into_iter()
                .map(|(word, name)| (word, name.to_owned()));
            let others = others.chain(row.rival.clone());
            let ratios = others.filter(|(_, name)| *name != row.subject);
            let ratios = ratios.filter_map(|(word, name)| {
                let other = &self.rows[*self.places.get(&(name, row.name.clone()))?];
                Some(format!("of {word}: {}", row.against(other)))
            });
            let ratios = ratios.collect::<Vec<_>>().join("; ");
            let doubt = if row.was_busy() { "   BUSY" } else { "" };
            doubted += usize::from(row.was_busy());
            // A peer that did not get through another one.
            let few = match row.rounds.len() {
                count if Some(count) < rounds => format!("   of {count} rounds only"),
                _ => String::new(),
            };
            let figures = format!("{}   {ratios}{few}{doubt}", row.figures());
            line(&row.subject, &row.name, &figures);
        }
        let relay = self.rows.iter().filter(|row| row.subject == RELAY);
        let spread = relay.map(|row| row.spread(0)).fold(0.0, f64::max);
        if rounds.is_some_and(|rounds| rounds < ROUNDS) {
            println!("fewer than {ROUNDS} rounds: these medians say little");
        }
        if doubted > 0 || spread > MOST_SPREAD {
            println!(
                "TOO BUSY TO BELIEVE: others worked during {doubted} of {} rows (BUSY), and the \
                 plain relay's own rounds are {:.0} % apart; repeat it on an idle machine",
                self.rows.len(),
                spread * 100.0,
            );
        }
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

    pub fn slow_app(&self, subject: &Subject, grown: u64) {
        let figures = format!("{:5} KiB more resident", grown / 1024);
        line(&subject.name, "1 GB, read at 1 MB/s", &figures);
    }

    pub fn web_idle(&self, subject: &Subject, sessions: usize, streams: usize, grown: u64) {
        let each = grown as f64 / sessions as f64;
        let figures = format!("{each:5.0} bytes each, {:.1} MB", grown as f64 / 1e6);
        let load = format!("{sessions} idle of {streams} streams");
        line(&subject.name, &load, &figures);
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

impl Row {
    fn median(&self, which: usize) -> f64 {
        median(self.rounds.iter().map(|figure| figure.values[which]))
    }

    /// What its rounds are apart, as a part of the median.
    fn spread(&self, which: usize) -> f64 {
        let values = self.rounds.iter().map(|figure| figure.values[which]);
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        (most - least) / self.median(which)
    }

    /// Others worked in most of its rounds.
    fn was_busy(&self) -> bool {
        let busy = self.rounds.iter().filter(|figure| figure.was_busy);
        2 * busy.count() >= self.rounds.len()
    }

    fn figures(&self) -> String {
        let (first, second) = (self.median(0), self.median(1));
        let apart = format!("±{:2.0} %", self.spread(0) * 50.0);
        match self.load {
            Load::Transfer => {
                let (speed, cost) = (first / 1e6, second * 1e9);
                format!("{speed:7.0} MB/s {apart} {cost:6.2} CPU-s/GB")
            }
            Load::Echoes => {
                format!(
                    "{first:7.0} msg/s {apart} {:5.2} CPU-s/million",
                    second * 1e6
                )
            }
            Load::Connects => {
                format!("{first:7.0} /s {apart} {:5.0} CPU-µs each", second * 1e6)
            }
            Load::Waits => format!("p50 {first:5.0} µs {apart}, p99 {second:5.0} µs"),
        }
    }

    /// The medians of the ratios of each round.
    fn against(&self, other: &Self) -> String {
        let ratio = |which: usize| {
            let rounds = self.rounds.iter().zip(&other.rounds);
            median(rounds.map(|(own, other)| own.values[which] / other.values[which]))
        };
        let (first, second) = match self.load {
            Load::Waits => ("p50", "p99"),
            _ => ("speed", "CPU"),
        };
        // The kernel's ticks are too long for a short load.
        let text = |ratio: f64| match ratio.is_finite() {
            true => format!("×{ratio:.2}"),
            false => "×?".to_owned(),
        };
        let (one, two) = (text(ratio(0)), text(ratio(1)));
        format!("{first} {one}, {second} {two}")
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

fn line(subject: &str, load: &str, figures: &str) {
    println!("{subject:25} {load:24} {figures}");
}
