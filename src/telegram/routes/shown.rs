use super::Routes;
use super::state::Standing;
use crate::metrics::Reason;

impl Routes {
    /// For `ctl`: a line for each route to each DC that was asked for, of words without
    /// blanks: the DC, the route, how it stands, the seconds that this lasts, the label of
    /// the reason, and for how many seconds it has been the last that worked; `-` is
    /// nothing.
    pub(in crate::telegram) fn lines(&self) -> Vec<String> {
        let (table, list, now) = (self.table.borrow(), self.list(), self.now());
        let mut lines = Vec::new();
        for (dc, worked) in table.dcs() {
            for route in list.as_slice() {
                let (standing, rest) = match table.standing(dc, *route, now) {
                    Standing::Free => ("free", None),
                    Standing::Due(rest) => ("due", Some(rest)),
                    Standing::Probed(rest) => ("probed", Some(rest)),
                    Standing::Rests(rest) => ("rests", Some(rest)),
                };
                let (left, why) = match rest {
                    Some(rest) => (rest.left(now).as_secs().to_string(), rest.why.label()),
                    None => ("-".to_owned(), "-"),
                };
                let worked = worked.filter(|(last, _)| last == route);
                let worked = worked.map(|(_, at)| now.saturating_duration_since(at).as_secs());
                let worked = worked.map_or("-".to_owned(), |seconds| seconds.to_string());
                lines.push(format!("{dc} {route} {standing} {left} {why} {worked}"));
            }
        }
        lines
    }
}
