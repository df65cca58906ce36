//! `figures`: the status without anything that tells of somebody: no name, no address, no
//! line of the log.

use super::Control;
use super::list::Row;
use super::reply::Answer;
use crate::wire::json::Json;

/// Members of the status that are numbers and words of ours.
const TOLD: [&str; 9] = [
    "version",
    "role",
    "started",
    "up_seconds",
    "clients",
    "buffers",
    "resident_bytes",
    "limits_reached",
    "turned_away",
];

/// Of a DC.
const TOLD_OF_DCS: [&str; 7] = [
    "dc",
    "sessions",
    "sessions_by_route",
    "connections",
    "opened",
    "failed",
    "ended",
];

/// Of a link.
const TOLD_OF_LINKS: [&str; 4] = ["state", "clients", "round_trip_micros", "age_seconds"];

impl Control {
    pub(super) fn figures(&self) -> Answer {
        let mut members = only(self.status().json(), &TOLD);
        let dcs = self.dc_rows();
        let dcs = dcs
            .iter()
            .map(|dc| Json::Object(only(dc.json(), &TOLD_OF_DCS)));
        members.push(("dcs", Json::List(dcs.collect())));
        let links = self.link_rows().map(|links| {
            let links = links.iter().map(|link| only(link.json(), &TOLD_OF_LINKS));
            Json::List(links.map(Json::Object).collect())
        });
        members.push(("links", Json::from(links)));
        Answer::Written(format!("{}\n", Json::Object(members)))
    }

    pub(super) fn history(&self) -> Answer {
        Answer::Written(self.history.json())
    }
}

/// The members of `object` that are named.
fn only(object: Json, names: &[&str]) -> Vec<(&'static str, Json)> {
    let Json::Object(mut members) = object else {
        return Vec::new();
    };
    members.retain(|(name, _)| names.contains(name));
    members
}
