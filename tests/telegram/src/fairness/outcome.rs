//! What a trial found.

use std::fmt;
use std::time::Duration;

/// How long one of the others waited for each of its echoes.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    pub name: String,
    /// It shares less with the attackers than the rest.
    pub is_elsewhere: bool,
    /// In the order in which they were sent; the last may be cut short.
    pub in_order: Vec<Duration>,
    /// How often it was disconnected.
    pub cuts: usize,
}

impl Waits {
    /// The wait that so much of a hundred are no longer than.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.in_order.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub fn worst(&self) -> Duration {
        self.in_order.iter().max().copied().unwrap_or_default()
    }

    /// The longest but one: what is long once must not be long again.
    pub fn second_worst(&self) -> Duration {
        let mut sorted = self.in_order.clone();
        sorted.sort_unstable();
        sorted.iter().rev().nth(1).copied().unwrap_or_default()
    }
}

/// A number with its name and unit.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub waits: Vec<Waits>,
    pub figures: Vec<Figure>,
    /// What is wrong whatever the limits are.
    pub failures: Vec<String>,
}

impl Outcome {
    pub fn figure(mut self, name: &'static str, value: f64, unit: &'static str) -> Self {
        self.figures.push(Figure { name, value, unit });
        self
    }

    /// The figure of that name; a trial that did not find it failed.
    pub fn value(&self, name: &str) -> f64 {
        let mut figures = self.figures.iter();
        let figure = figures.find(|figure| figure.name == name);
        figure.map_or(f64::INFINITY, |figure| figure.value)
    }
}

impl fmt::Display for Outcome {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for waits in &self.waits {
            let millis = |wait: Duration| wait.as_secs_f64() * 1e3;
            write!(
                f,
                "  {:34} median {:7.1} ms, p99 {:7.1}, worst {:7.1}, next {:7.1}; {} echoes",
                waits.name,
                millis(waits.median()),
                millis(waits.percentile(99)),
                millis(waits.worst()),
                millis(waits.second_worst()),
                waits.in_order.len(),
            )?;
            match waits.cuts {
                0 => writeln!(f)?,
                cuts => writeln!(f, ", cut {cuts} times")?,
            }
        }
        for Figure { name, value, unit } in &self.figures {
            writeln!(f, "  {name:34} {value:.2} {unit}")?;
        }
        for failure in &self.failures {
            writeln!(f, "  {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_wait_is_told_from_two() {
        let waits = |seconds: &[u64]| Waits {
            in_order: seconds.iter().copied().map(Duration::from_secs).collect(),
            ..Waits::default()
        };
        let once = waits(&[1, 9, 2, 1]);
        assert_eq!(once.worst(), Duration::from_secs(9));
        assert_eq!(once.second_worst(), Duration::from_secs(2));
        assert_eq!(once.median(), Duration::from_secs(2));
        assert_eq!(waits(&[9, 9]).second_worst(), Duration::from_secs(9));
        assert_eq!(waits(&[]).worst(), Duration::ZERO);
    }
}
