//! `links`: between fronts and backs.

use std::rc::Rc;

use super::Control;
use super::list::{List, Row};
use super::problem::Problem;
use super::words::{age, cell, end, header, round_trip};
use crate::link::{Back, Front, LinkState, ShownLink};
use crate::wire::json::Json;

const PEER: usize = 32;
const STATE: usize = 8;
const CLIENTS: usize = 7;
const ROUND_TRIP: usize = 10;
const AGE: usize = 8;

/// This machine's side of the links.
pub(crate) enum LinkEnd {
    Front(Rc<Front>),
    Back(Rc<Back>),
}

impl Control {
    pub(super) fn links(&self) -> Result<List, Problem> {
        let rows = self.link_rows().ok_or(Problem::OtherRole(
            "this proxy has no link: it is front and back at once",
        ))?;
        let columns = [
            ("PEER", PEER),
            ("STATE", STATE),
            ("CLIENTS", CLIENTS),
            ("ROUND TRIP", ROUND_TRIP),
            ("AGE", AGE),
            ("BY", 0),
        ];
        let mut list = List::new("links", header(&columns), rows);
        list.if_none = "no front has a link to this back\n";
        Ok(list)
    }

    /// `None`: there are none in this role.
    pub(super) fn link_rows(&self) -> Option<Vec<ShownLink>> {
        let rows = match self.parts.link.as_ref()? {
            LinkEnd::Front(front) => front.shown(),
            LinkEnd::Back(back) => back.shown(),
        };
        Some(rows)
    }
}

fn state(state: LinkState) -> &'static str {
    match state {
        LinkState::Up => "up",
        LinkState::Silent => "silent",
        LinkState::Retired => "retired",
        LinkState::Down => "down",
    }
}

impl Row for ShownLink {
    fn json(&self) -> Json {
        let micros = self.round_trip.map(|time| time.as_micros() as u64);
        let security = self.security.map(|name| name.to_ascii_lowercase());
        Json::Object(vec![
            ("peer", Json::from(self.peer.as_str())),
            ("state", Json::from(state(self.state))),
            ("security", Json::from(security)),
            ("clients", Json::from(self.clients)),
            ("round_trip_micros", Json::from(micros)),
            ("age_seconds", Json::from(self.age.map(|age| age.as_secs()))),
            ("fault", Json::from(self.fault.clone())),
        ])
    }

    fn write_lines(&self, out: &mut String) {
        cell(out, PEER, &self.peer);
        cell(out, STATE, state(self.state));
        if self.state == LinkState::Down {
            out.push_str(
                self.fault
                    .as_deref()
                    .unwrap_or("dialled for the first time"),
            );
            return end(out);
        }
        let known = |time: Option<_>, words: fn(_) -> String| time.map_or("-".to_owned(), words);
        cell(out, CLIENTS, &self.clients.to_string());
        cell(out, ROUND_TRIP, &known(self.round_trip, round_trip));
        cell(out, AGE, &known(self.age, age));
        out.push_str(self.security.unwrap_or("-"));
        end(out);
    }
}
