use std::cell::RefCell;
use std::rc::Rc;

#[cfg(feature = "ctl")]
use super::Reason;
use super::counter::{Counter, Gauge};
use super::{RouteKind, RouteResult};
use crate::wire::dc::DcId;

/// Telegram has about a dozen ids; clients may name any i16. What does not fit
/// is counted together.
const MAX_DCS: usize = 32;

/// Numbers of one DC.
#[derive(Debug, Default)]
pub(crate) struct DcMetrics {
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    #[cfg(feature = "ctl")]
    by_route: [Gauge; RouteKind::ALL.len()],
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) ended: Counter,
    pub(crate) routes: RouteCounts,
}

impl DcMetrics {
    pub(super) fn joined(&self, route: RouteKind) {
        self.sessions.inc();
        #[cfg(feature = "ctl")]
        if let Some(count) = self.by_route.get(route.index()) {
            count.inc();
        }
        #[cfg(not(feature = "ctl"))]
        let _ = route;
    }

    pub(super) fn left(&self, route: RouteKind) {
        self.sessions.dec();
        #[cfg(feature = "ctl")]
        if let Some(count) = self.by_route.get(route.index()) {
            count.dec();
        }
        #[cfg(not(feature = "ctl"))]
        let _ = route;
    }

    /// Some route was tried.
    #[cfg(feature = "ctl")]
    pub(crate) fn has_routes(&self) -> bool {
        !self.routes.0.borrow().is_empty()
    }

    /// The sessions that go by this route now.
    #[cfg(feature = "ctl")]
    pub(crate) fn by(&self, route: RouteKind) -> u64 {
        self.by_route.get(route.index()).map_or(0, Gauge::get)
    }
}

/// What happened on the routes to a DC, as far as anything did: there are a few routes
/// and results.
#[derive(Debug, Default)]
pub(crate) struct RouteCounts(RefCell<Vec<(&'static str, RouteResult, u64)>>);

impl RouteCounts {
    pub(super) fn inc(&self, route: &'static str, result: RouteResult) {
        let mut counts = self.0.borrow_mut();
        let is_it =
            |count: &&mut (&'static str, RouteResult, u64)| (count.0, count.1) == (route, result);
        match counts.iter_mut().find(is_it) {
            Some(count) => count.2 += 1,
            None => counts.push((route, result, 1)),
        }
    }

    /// Each with its count, in the order in which they came first.
    pub(super) fn all(&self) -> Vec<(&'static str, RouteResult, u64)> {
        self.0.borrow().clone()
    }
}

/// The DCs that were ever used, at most `MAX_DCS`, and one row for the rest.
#[derive(Debug, Default)]
pub(crate) struct Dcs {
    rows: RefCell<Vec<(DcId, Rc<DcMetrics>)>>,
    others: Rc<DcMetrics>,
}

impl Dcs {
    pub(crate) fn of(&self, dc: DcId) -> Rc<DcMetrics> {
        let mut rows = self.rows.borrow_mut();
        if let Some((_, row)) = rows.iter().find(|(id, _)| *id == dc) {
            return row.clone();
        }
        if rows.len() >= MAX_DCS {
            return self.others.clone();
        }
        let row = Rc::<DcMetrics>::default();
        rows.push((dc, row.clone()));
        row
    }

    /// Every row with its label, in the order of the ids.
    pub(crate) fn all(&self) -> Vec<(String, Rc<DcMetrics>)> {
        let mut rows = self.rows.borrow().clone();
        rows.sort_by_key(|(id, _)| *id);
        let known = rows.into_iter().map(|(id, row)| (id.to_string(), row));
        let others = std::iter::once(("other".to_owned(), self.others.clone()));
        known.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_does_not_grow_without_end() {
        let dcs = Dcs::default();
        for id in i16::MIN..=i16::MAX {
            dcs.of(DcId(id)).opened.inc();
        }
        let all = dcs.all();
        assert_eq!(all.len(), MAX_DCS + 1);
        let total: u64 = all.iter().map(|(_, row)| row.opened.get()).sum();
        assert_eq!(total, 1 << 16);
    }
}
