use std::rc::Rc;

use super::decimal::Decimal;
use super::page::Page;
use super::reasons::{Counts, Reason};
use super::{Counter, DcMetrics, Gauge, Histogram, Metrics};

/// A family of the page: a name with its samples. A table of rows makes less code than
/// a call for each.
pub(super) struct Row {
    name: &'static str,
    help: &'static str,
    shows: Shows,
}

enum Shows {
    Counter(fn(&Metrics) -> &Counter),
    Gauge(fn(&Metrics) -> &Gauge),
    /// In and out.
    Directions([fn(&Metrics) -> &Counter; 2]),
    Reasons(&'static str, fn(&Metrics) -> &dyn Counts),
    Histogram(fn(&Metrics) -> &Histogram),
    PerDc(&'static str, fn(&DcMetrics) -> u64),
    /// By route and result, those that there were.
    PerRoute,
    /// Left out where the system does not say it.
    Computed(&'static str, fn(&Metrics) -> Option<Decimal>),
}

impl Row {
    pub(crate) fn show(
        &self,
        metrics: &Metrics,
        dcs: &[(String, Rc<DcMetrics>)],
        page: &mut Page<'_>,
    ) {
        let Self { name, help, shows } = self;
        match shows {
            Shows::Counter(of) => page.counter(name, help, of(metrics).get()),
            Shows::Gauge(of) => page.gauge(name, help, of(metrics).get()),
            Shows::Directions([inwards, outwards]) => {
                page.directions(name, help, inwards(metrics).get(), outwards(metrics).get());
            }
            Shows::Reasons(label, of) => page.reasons(name, help, label, of(metrics)),
            Shows::Histogram(of) => page.histogram(name, help, of(metrics)),
            Shows::PerDc(kind, of) => {
                page.family(name, kind, help);
                for (dc, row) in dcs {
                    page.sample(name, &[("dc", dc)], &of(row));
                }
            }
            Shows::PerRoute => {
                page.family(name, "counter", help);
                for (dc, row) in dcs {
                    for (route, result, count) in row.routes.all() {
                        let result = result.label();
                        let labels = [("route", route), ("dc", dc), ("result", result)];
                        page.sample(name, &labels, &count);
                    }
                }
            }
            Shows::Computed(kind, of) => {
                if let Some(value) = of(metrics) {
                    page.family(name, kind, help);
                    page.sample(name, &[], &value);
                }
            }
        }
    }
}

pub(super) const fn counter(
    name: &'static str,
    help: &'static str,
    of: fn(&Metrics) -> &Counter,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Counter(of),
    }
}

pub(super) const fn gauge(
    name: &'static str,
    help: &'static str,
    of: fn(&Metrics) -> &Gauge,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Gauge(of),
    }
}

pub(super) const fn histogram(
    name: &'static str,
    help: &'static str,
    of: fn(&Metrics) -> &Histogram,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Histogram(of),
    }
}

pub(super) const fn directions(
    name: &'static str,
    help: &'static str,
    inwards: fn(&Metrics) -> &Counter,
    outwards: fn(&Metrics) -> &Counter,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Directions([inwards, outwards]),
    }
}

pub(super) const fn reasons(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    of: fn(&Metrics) -> &dyn Counts,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Reasons(label, of),
    }
}

pub(super) const fn per_dc(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&DcMetrics) -> u64,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::PerDc(kind, of),
    }
}

pub(super) const fn per_route(name: &'static str, help: &'static str) -> Row {
    Row {
        name,
        help,
        shows: Shows::PerRoute,
    }
}

pub(super) const fn computed(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&Metrics) -> Option<Decimal>,
) -> Row {
    Row {
        name,
        help,
        shows: Shows::Computed(kind, of),
    }
}
