use std::fmt::{Arguments, Display, Write};

use super::Histogram;
use super::reasons::Counts;

/// The text format: `# HELP`, `# TYPE`, then samples. Labels are ours or
/// numbers, so none needs escaping.
pub(super) struct Page<'a> {
    pub(crate) out: &'a mut String,
}

impl Page<'_> {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!(
            "# HELP smol_mtproxy_{name} {help}.\n# TYPE smol_mtproxy_{name} {kind}\n"
        ));
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn Display) {
        self.push(format_args!("smol_mtproxy_{name}"));
        for (position, (key, text)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            self.push(format_args!("{before}{key}=\"{text}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.push(format_args!("{after} {value}\n"));
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.family(&name, "counter", help);
        self.sample(&name, &[], &value);
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], &value);
    }

    pub(crate) fn directions(&mut self, name: &str, help: &str, inwards: u64, outwards: u64) {
        let name = format!("{name}_total");
        self.family(&name, "counter", help);
        self.sample(&name, &[("direction", "in")], &inwards);
        self.sample(&name, &[("direction", "out")], &outwards);
    }

    pub(crate) fn reasons(&mut self, name: &str, help: &str, label: &str, counts: &dyn Counts) {
        let name = format!("{name}_total");
        self.family(&name, "counter", help);
        let mut number = 0;
        while let Some((reason, count)) = counts.nth(number) {
            self.sample(&name, &[(label, reason)], &count);
            number += 1;
        }
    }

    pub(crate) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let buckets = format!("{name}_bucket");
        for (bound, below) in histogram.cumulative() {
            self.sample(&buckets, &[("le", &bound.to_string())], &below);
        }
        self.sample(&buckets, &[("le", "+Inf")], &histogram.count());
        self.sample(&format!("{name}_sum"), &[], &histogram.sum());
        self.sample(&format!("{name}_count"), &[], &histogram.count());
    }

    fn push(&mut self, text: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }
}
