use std::time::Duration;

use super::Routes;
use super::state::Standing;
use crate::config::RouteName;
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// A route to a DC that was asked for, as the operator sees it.
pub(crate) struct ShownRoute {
    pub(crate) dc: DcId,
    pub(crate) route: RouteName,
    pub(crate) standing: ShownStanding,
    /// It is the last that worked, and for so long.
    pub(crate) worked: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownStanding {
    Free,
    /// For how long still, and why.
    Rests(Duration, RouteResult),
    /// The next client tries whether it works again; why it rested.
    Due(RouteResult),
    /// A client does.
    Probed(RouteResult),
}

impl Routes {
    pub(in crate::telegram) fn shown(&self) -> Vec<ShownRoute> {
        let (table, list, now) = (self.table.borrow(), self.list(), self.now());
        let mut shown = Vec::new();
        for (dc, worked) in table.dcs() {
            for route in list.as_slice() {
                let worked = worked.filter(|(last, _)| last == route);
                shown.push(ShownRoute {
                    dc,
                    route: *route,
                    standing: match table.standing(dc, *route, now) {
                        Standing::Free => ShownStanding::Free,
                        Standing::Due(rest) => ShownStanding::Due(rest.why),
                        Standing::Probed(rest) => ShownStanding::Probed(rest.why),
                        Standing::Rests(rest) => ShownStanding::Rests(rest.left(now), rest.why),
                    },
                    worked: worked.map(|(_, at)| now.saturating_duration_since(at)),
                });
            }
        }
        shown
    }
}
