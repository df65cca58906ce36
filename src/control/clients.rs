//! `clients`: who is here.

use std::time::Duration;

use smol::future::yield_now;

use super::Control;
use super::list::{List, Row, STEP};
use super::problem::Problem;
use super::which::Which;
use super::words::{age, cell, end, header, size};
use crate::client::ShownClient;
use crate::guard::limits::Names;
use crate::log::Masked;
use crate::metrics::{ClientKind, Reason, RouteKind};
use crate::wire::dc::DcId;
use crate::wire::json::Json;

const SECRET: usize = 16;
const ADDRESS: usize = 19;
const DC: usize = 4;
const ROUTE: usize = 7;
const FORM: usize = 12;
const AGE: usize = 8;
const IDLE: usize = 8;

struct ClientRow {
    secret: String,
    address: String,
    dc: DcId,
    route: Option<RouteKind>,
    kind: ClientKind,
    age: Duration,
    idle: Duration,
    bytes: u64,
}

impl Control {
    pub(super) async fn clients(&self, which: &Which) -> Result<List, Problem> {
        let Some(clients) = &self.parts.clients else {
            return Err(Problem::OtherRole(
                "a back has no clients of its own; ask its fronts, and `ctl links` here",
            ));
        };
        let gate = &self.parts.gate;
        let wanted = match &which.secret {
            Some(name) => {
                let account = gate.account(name);
                Some(account.ok_or_else(|| Problem::NoSecret(name.clone()))?)
            }
            None => None,
        };
        let names = gate.names();
        let mut rows = Vec::new();
        let mut next = Some(which.after);
        while let Some(first) = next
            && rows.len() < which.limit
        {
            let some;
            let left = which.limit - rows.len();
            (some, next) = clients.some_shown(first, left.min(STEP));
            let is_wanted = |client: &ShownClient| {
                wanted.is_none()
                    || client.account.as_ref().map(std::rc::Rc::as_ptr)
                        == wanted.as_ref().map(std::rc::Rc::as_ptr)
            };
            let some = some.into_iter().filter(is_wanted);
            rows.extend(some.map(|client| ClientRow::new(client, &names, which.is_full)));
            yield_now().await;
        }
        let columns = [
            ("SECRET", SECRET),
            ("ADDRESS", ADDRESS),
            ("DC", DC),
            ("ROUTE", ROUTE),
            ("FORM", FORM),
            ("HERE FOR", AGE),
            ("IDLE", IDLE),
            ("BYTES", 0),
        ];
        let mut list = List::new("clients", header(&columns), rows);
        list.if_none = "no client is connected\n";
        list.next = Some(next);
        Ok(list)
    }
}

impl ClientRow {
    fn new(client: ShownClient, names: &Names, is_full: bool) -> Self {
        let name = client
            .account
            .as_ref()
            .and_then(|account| names.of(account));
        let address = client.address.map(|address| match is_full {
            true => address.to_string(),
            false => Masked(address.ip()).to_string(),
        });
        Self {
            secret: name.unwrap_or_default().to_owned(),
            address: address.unwrap_or_else(|| "-".to_owned()),
            dc: client.dc,
            route: client.route,
            kind: client.kind,
            age: client.age,
            idle: client.idle,
            bytes: client.bytes,
        }
    }
}

impl Row for ClientRow {
    fn json(&self) -> Json {
        Json::Object(vec![
            ("secret", Json::from(self.secret.as_str())),
            ("address", Json::from(self.address.as_str())),
            ("dc", Json::Number(self.dc.0.into())),
            (
                "route",
                Json::from(self.route.map(|route| route.label().to_owned())),
            ),
            ("form", Json::from(self.kind.label())),
            ("age_seconds", Json::from(self.age.as_secs())),
            ("idle_seconds", Json::from(self.idle.as_secs())),
            ("bytes", Json::from(self.bytes)),
        ])
    }

    fn write_lines(&self, out: &mut String) {
        cell(out, SECRET, &self.secret);
        cell(out, ADDRESS, &self.address);
        cell(out, DC, &self.dc.to_string());
        cell(out, ROUTE, self.route.map_or("-", Reason::label));
        cell(out, FORM, self.kind.label());
        cell(out, AGE, &age(self.age));
        cell(out, IDLE, &age(self.idle));
        out.push_str(&size(self.bytes));
        end(out);
    }
}
