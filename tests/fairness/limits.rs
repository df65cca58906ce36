//! What the others may feel of it.

use std::time::Duration;

use fake_telegram::fairness::Outcome;

/// Of one row. In CI they are half of what a defect causes: a busy machine does
/// not fail them.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The longest wait of each.
    once: Duration,
    /// The longest but one.
    again: Duration,
    /// Both, for those who share less with the attackers.
    elsewhere: Duration,
    median: Duration,
    /// The others are never disconnected.
    uncut: bool,
    /// Figures and the most that each may be.
    figures: &'static [(&'static str, f64)],
}

impl Limits {
    /// No echo takes longer, nobody is cut.
    pub const fn echoes(millis: u64) -> Self {
        let limit = Duration::from_millis(millis);
        Self {
            once: limit,
            again: limit,
            elsewhere: limit,
            median: limit,
            uncut: true,
            figures: &[],
        }
    }

    /// Each of the others may wait so long once.
    pub const fn but_once(self, millis: u64) -> Self {
        let once = Duration::from_millis(millis);
        Self { once, ..self }
    }

    pub const fn elsewhere(self, millis: u64) -> Self {
        let elsewhere = Duration::from_millis(millis);
        Self { elsewhere, ..self }
    }

    pub const fn median(self, millis: u64) -> Self {
        let median = Duration::from_millis(millis);
        Self { median, ..self }
    }

    pub const fn figures(self, figures: &'static [(&'static str, f64)]) -> Self {
        Self { figures, ..self }
    }

    /// The others come to be cut, by what happens to all.
    pub const fn with_cuts(self) -> Self {
        Self {
            uncut: false,
            ..self
        }
    }

    /// What of it is not kept.
    pub fn complaints(&self, outcome: &Outcome) -> Vec<String> {
        let mut complaints = outcome.failures.clone();
        for waits in &outcome.waits {
            let name = &waits.name;
            let (once, again) = match waits.is_elsewhere {
                true => (self.elsewhere, self.elsewhere),
                false => (self.once, self.again),
            };
            for (what, wait, limit) in [
                ("longest wait", waits.worst(), once),
                ("longest wait but one", waits.second_worst(), again),
                ("median", waits.median(), self.median),
            ] {
                if wait > limit {
                    complaints.push(format!("{name}: the {what} is {wait:.1?}, over {limit:?}"));
                }
            }
            if self.uncut && waits.cuts > 0 {
                complaints.push(format!("{name}: cut {} times", waits.cuts));
            }
        }
        for (name, most) in self.figures {
            let value = outcome.value(name);
            if value > *most {
                complaints.push(format!("{name}: {value:.1}, over {most}"));
            }
        }
        complaints
    }
}
