//! `dcs`: sessions and connections by DC.

use std::rc::Rc;

use super::Control;
use super::list::{List, Row};
use super::words::{age, cell, counted, end, header};
use crate::metrics::{DcMetrics, Reason, RouteKind};
use crate::telegram::ShownConnection;
use crate::wire::json::Json;

const DC: usize = 6;
const SESSIONS: usize = 8;
const ROUTES: usize = 28;
const CONNECTIONS: usize = 11;
const OPENED: usize = 8;

/// Connections of a DC that are shown; more are counted.
const MAX_SHOWN: usize = 32;

pub(super) struct DcRow {
    /// `other`: of those that were one too many to be counted each.
    dc: String,
    counts: Rc<DcMetrics>,
    connections: Vec<ShownConnection>,
}

impl Control {
    pub(super) fn dcs(&self) -> List {
        let columns = [
            ("DC", DC),
            ("SESSIONS", SESSIONS),
            ("OF THEM", ROUTES),
            ("CONNECTIONS", CONNECTIONS),
            ("OPENED", OPENED),
            ("FAILED", 0),
        ];
        let mut list = List::new("dcs", header(&columns), self.dc_rows());
        list.if_none = "no DC was used yet\n";
        list
    }

    /// Those that were used.
    pub(super) fn dc_rows(&self) -> Vec<DcRow> {
        let telegram = self.parts.telegram.as_ref();
        let mut connections = telegram.map_or(Vec::new(), |telegram| telegram.connections());
        let mut rows = Vec::new();
        for (dc, counts) in self.parts.metrics.dcs.all() {
            let is_of_it = |one: &mut ShownConnection| one.dc.to_string() == dc;
            let own: Vec<_> = connections.extract_if(.., is_of_it).collect();
            let was_used = counts.sessions.get() + counts.opened.get() + counts.failed.get() > 0;
            if was_used || counts.has_routes() {
                rows.push(DcRow {
                    dc,
                    counts,
                    connections: own,
                });
            }
        }
        rows
    }
}

impl DcRow {
    /// The sessions now, by the routes that have any.
    fn routes(&self) -> impl Iterator<Item = (RouteKind, u64)> {
        let counts = RouteKind::ALL
            .iter()
            .map(|route| (*route, self.counts.by(*route)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// In one line.
    pub(super) fn words(&self) -> String {
        let routes: Vec<_> = self
            .routes()
            .map(|(route, count)| format!("{count} {}", route.label()))
            .collect();
        let of_them = match routes.is_empty() {
            true => String::new(),
            false => format!(" ({})", routes.join(", ")),
        };
        let counts = &self.counts;
        let sessions = counted(counts.sessions.get(), "session");
        let connections = counted(counts.connections.get(), "connection");
        let mut words = format!("{}: {sessions}{of_them}, {connections}", self.dc);
        if let Some(oldest) = self.connections.iter().map(|one| one.age).max() {
            words += &format!(", the oldest to a middle proxy for {}", age(oldest));
        }
        words
    }

    fn shown(&self) -> &[ShownConnection] {
        let shown = self.connections.len().min(MAX_SHOWN);
        self.connections.get(..shown).unwrap_or_default()
    }
}

impl Row for DcRow {
    fn json(&self) -> Json {
        let routes = self.routes();
        let routes = routes.map(|(route, count)| (route.label(), Json::from(count)));
        let shown = self.shown().iter().map(|one| {
            Json::Object(vec![
                ("address", Json::from(one.address.to_string())),
                ("age_seconds", Json::from(one.age.as_secs())),
                ("clients", Json::from(one.clients)),
                ("left_to_slow_clients", Json::from(one.is_lane)),
                ("silent", Json::from(one.is_silent)),
            ])
        });
        let dc = match self.dc.parse() {
            Ok(number) => Json::Number(number),
            Err(_) => Json::from(self.dc.as_str()),
        };
        Json::Object(vec![
            ("dc", dc),
            ("sessions", Json::from(self.counts.sessions.get())),
            ("sessions_by_route", Json::Object(routes.collect())),
            ("connections", Json::from(self.counts.connections.get())),
            ("middle_connections", Json::List(shown.collect())),
            ("opened", Json::from(self.counts.opened.get())),
            ("failed", Json::from(self.counts.failed.get())),
            ("ended", Json::from(self.counts.ended.get())),
        ])
    }

    fn write_lines(&self, out: &mut String) {
        cell(out, DC, &self.dc);
        cell(out, SESSIONS, &self.counts.sessions.get().to_string());
        let routes = self.routes();
        let routes: Vec<_> = routes
            .map(|(route, count)| format!("{count} {}", route.label()))
            .collect();
        cell(out, ROUTES, &routes.join(", "));
        cell(out, CONNECTIONS, &self.counts.connections.get().to_string());
        cell(out, OPENED, &self.counts.opened.get().to_string());
        out.push_str(&self.counts.failed.get().to_string());
        end(out);
        for one in self.shown() {
            cell(out, DC, "");
            out.push_str(&format!(
                "{}: {}, for {}",
                one.address,
                counted(one.clients as u64, "client"),
                age(one.age)
            ));
            out.push_str(match (one.is_silent, one.is_lane) {
                (true, _) => ", silent",
                (false, true) => ", left to slow clients",
                (false, false) => "",
            });
            end(out);
        }
        if self.connections.len() > MAX_SHOWN {
            let more = self.connections.len() - MAX_SHOWN;
            cell(out, DC, "");
            out.push_str(&format!("and {more} more"));
            end(out);
        }
    }
}
