//! `routes`: how the routes to each DC stand.

use super::Control;
use super::list::{List, Row};
use super::problem::Problem;
use super::words::{cell, end, header};
use crate::metrics::Reason;
use crate::telegram::{ShownRoute, ShownStanding};
use crate::wire::json::Json;

const DC: usize = 6;
const ROUTE: usize = 8;

impl Control {
    pub(super) fn routes(&self) -> Result<List, Problem> {
        let Some(telegram) = &self.parts.telegram else {
            return Err(Problem::OtherRole(
                "a front has no route to Telegram; ask its back",
            ));
        };
        let header = header(&[("DC", DC), ("ROUTE", ROUTE), ("NOW", 0)]);
        let mut list = List::new("routes", header, telegram.routes());
        list.if_none = "no client has been connected to a DC yet; middle proxies are none of these \
                        routes\n";
        Ok(list)
    }
}

impl Row for ShownRoute {
    fn json(&self) -> Json {
        let (state, rest) = match self.standing {
            ShownStanding::Free => ("free", None),
            ShownStanding::Rests(left, why) => ("rests", Some((left.as_secs(), why))),
            ShownStanding::Due(why) => ("due", Some((0, why))),
            ShownStanding::Probed(why) => ("probed", Some((0, why))),
        };
        let mut members = vec![
            ("dc", Json::Number(self.dc.0.into())),
            ("route", Json::from(self.route.to_string())),
            ("state", Json::from(state)),
        ];
        if let Some((seconds, why)) = rest {
            members.push(("rests_seconds", Json::from(seconds)));
            members.push(("why", Json::from(why.label())));
        }
        if let Some(ago) = self.worked {
            members.push(("worked_seconds_ago", Json::from(ago.as_secs())));
        }
        Json::Object(members)
    }

    fn write_lines(&self, out: &mut String) {
        cell(out, DC, &self.dc.to_string());
        cell(out, ROUTE, &self.route.to_string());
        let now = match (self.standing, self.worked) {
            (ShownStanding::Free, Some(ago)) => {
                format!("works, last seen {} s ago", ago.as_secs())
            }
            (ShownStanding::Free, None) => "nothing is known against it".to_owned(),
            (ShownStanding::Rests(left, why), _) => {
                format!("rests for {} s: {why}", left.as_secs())
            }
            (ShownStanding::Due(why), _) => {
                format!("the next client tries whether it works again; it rested: {why}")
            }
            (ShownStanding::Probed(why), _) => {
                format!("a client tries whether it works again; it rested: {why}")
            }
        };
        out.push_str(&now);
        end(out);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::RouteName;
    use crate::metrics::RouteResult;
    use crate::wire::dc::DcId;

    #[test]
    fn a_line_for_people_and_an_object_for_programs() {
        let (rests, due, probed) = (
            ShownStanding::Rests(Duration::from_secs(540), RouteResult::Blocked),
            ShownStanding::Due(RouteResult::Starves),
            ShownStanding::Probed(RouteResult::Useless),
        );
        let mut shown = String::new();
        let mut objects = Vec::new();
        for (dc, standing, worked) in [
            (-2, rests, None),
            (-2, ShownStanding::Free, Some(12)),
            (2, due, Some(700)),
            (2, probed, None),
            (4, ShownStanding::Free, None),
        ] {
            let row = ShownRoute {
                dc: DcId(dc),
                route: RouteName::Direct,
                standing,
                worked: worked.map(Duration::from_secs),
            };
            row.write_lines(&mut shown);
            objects.push(row.json().to_string());
        }
        let expected = [
            "-2     direct   rests for 540 s: no answer to connecting: blocked or down",
            "-2     direct   works, last seen 12 s ago",
            "2      direct   the next client tries whether it works again; it rested: it connects, \
             and then no byte comes to a client that has asked: filtered on the way",
            "2      direct   a client tries whether it works again; it rested: it refuses, or \
             there is no way to it",
            "4      direct   nothing is known against it",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        assert_eq!(
            objects[..2],
            [
                r#"{"dc":-2,"route":"direct","state":"rests","rests_seconds":540,"why":"blocked"}"#,
                r#"{"dc":-2,"route":"direct","state":"free","worked_seconds_ago":12}"#,
            ]
        );
    }
}
