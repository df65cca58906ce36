//! `secrets`: limits, and what is used of them.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use smol::future::yield_now;

use super::Control;
use super::list::{List, Row, STEP};
use super::words::{age, cell, counted, end, header, size};
use crate::guard::half_open::Origin;
use crate::guard::limits::{LimitRefusal, ShownSecret};
use crate::wire::calendar::day_text;
use crate::wire::json::Json;

const NAME: usize = 16;
const CLIENTS: usize = 7;
const ADDRESSES: usize = 9;
const BYTES: usize = 7;
const SEEN: usize = 10;

pub(super) struct SecretRow {
    shown: ShownSecret,
    /// That its clients come from now.
    addresses: u64,
}

impl Control {
    pub(super) async fn secrets(&self) -> List {
        let rows = self.secret_rows().await;
        let mut list = List::new("secrets", header_of_secrets("SECRET"), rows);
        list.if_none = "there is no secret\n";
        list
    }

    /// In the order of their names.
    pub(super) async fn secret_rows(&self) -> Vec<SecretRow> {
        let addresses = self.addresses().await;
        let now = self.parts.reactor.clock().unix();
        let shown = self.parts.gate.secrets(now).into_iter();
        let rows = shown.map(|shown| {
            let known = addresses.binary_search_by(|(name, _)| name.cmp(&shown.name));
            let known = known.ok().and_then(|place| addresses.get(place));
            SecretRow {
                addresses: known.map_or(0, |(_, count)| *count),
                shown,
            }
        });
        rows.collect()
    }

    /// How many addresses each secret's clients come from, as `max-ips` counts them; who
    /// has no client is left out. In the order of the names.
    async fn addresses(&self) -> Vec<(String, u64)> {
        let Some(clients) = &self.parts.clients else {
            return Vec::new();
        };
        let names = self.parts.gate.names();
        let mut seen = HashSet::new();
        let mut counts: Vec<(String, u64)> = Vec::new();
        let mut next = Some(0);
        while let Some(first) = next {
            let some;
            (some, next) = clients.some_shown(first, STEP);
            for client in some {
                let (Some(account), Some(address)) = (client.account, client.address) else {
                    continue;
                };
                let Some(name) = names.of(&account) else {
                    continue;
                };
                let place = counts.binary_search_by(|(one, _)| one.as_str().cmp(name));
                let place = place.unwrap_or_else(|place| {
                    counts.insert(place, (name.to_owned(), 0));
                    place
                });
                let origin = Origin::of(address.ip()).number();
                if seen.insert((Rc::as_ptr(&account), origin))
                    && let Some((_, count)) = counts.get_mut(place)
                {
                    *count += 1;
                }
            }
            yield_now().await;
        }
        counts
    }
}

pub(super) fn header_of_secrets(name: &'static str) -> String {
    header(&[
        (name, NAME),
        ("CLIENTS", CLIENTS),
        ("ADDRESSES", ADDRESSES),
        ("BYTES", BYTES),
        ("SEEN", SEEN),
        ("LIMITS", 0),
    ])
}

/// Why it lets nobody in.
fn state(shown: &ShownSecret) -> &'static str {
    match shown.end {
        _ if !shown.is_listed => "removed",
        Some(LimitRefusal::Expired) => "expired",
        Some(_) => "quota_used",
        None => "open",
    }
}

impl SecretRow {
    pub(super) fn name(&self) -> &str {
        &self.shown.name
    }

    pub(super) fn members(&self) -> Vec<(&'static str, Json)> {
        let Self { shown, addresses } = self;
        let limits = &shown.limits;
        let limits = Json::Object(vec![
            (
                "max_connections",
                Json::from(limits.max_connections.map(u64::from)),
            ),
            ("max_ips", Json::from(limits.max_ips.map(u64::from))),
            ("expires", Json::from(limits.expires.map(last_day))),
            ("quota", Json::from(limits.quota)),
            ("rate", Json::from(limits.rate)),
        ]);
        vec![
            ("name", Json::from(shown.name.as_str())),
            ("state", Json::from(state(shown))),
            ("clients", Json::from(u64::from(shown.clients))),
            ("addresses", Json::from(*addresses)),
            ("bytes", Json::from(shown.bytes)),
            ("seen_seconds_ago", Json::from(shown.seen)),
            ("limits", limits),
        ]
    }
}

impl Row for SecretRow {
    fn json(&self) -> Json {
        Json::Object(self.members())
    }

    fn write_lines(&self, out: &mut String) {
        let Self { shown, addresses } = self;
        cell(out, NAME, &shown.name);
        cell(out, CLIENTS, &shown.clients.to_string());
        cell(out, ADDRESSES, &addresses.to_string());
        cell(out, BYTES, &size(shown.bytes));
        let seen = match (shown.clients, shown.seen) {
            (0, None) => "-".to_owned(),
            (0, Some(seen)) => age(Duration::from_secs(seen)),
            _ => "now".to_owned(),
        };
        cell(out, SEEN, &seen);
        out.push_str(&limits_in_words(shown).join(", "));
        end(out);
    }
}

fn limits_in_words(shown: &ShownSecret) -> Vec<String> {
    let limits = &shown.limits;
    let mut words = Vec::new();
    match state(shown) {
        "open" => {}
        "removed" => words.push("not in the config any more".to_owned()),
        "expired" => words.push("EXPIRED".to_owned()),
        _ => words.push("QUOTA USED UP".to_owned()),
    }
    let upto = |most: u32, one| format!("at most {}", counted(most.into(), one));
    words.extend(limits.max_connections.map(|most| upto(most, "client")));
    words.extend(limits.max_ips.map(|most| match most {
        1 => "at most 1 address".to_owned(),
        most => format!("at most {most} addresses"),
    }));
    words.extend(limits.expires.map(|end| format!("until {}", last_day(end))));
    words.extend(limits.quota.map(|quota| {
        let percent = u128::from(shown.bytes) * 100 / u128::from(quota.max(1));
        format!("quota {} ({percent} % used)", size(quota))
    }));
    words.extend(limits.rate.map(|rate| format!("{} a second", size(rate))));
    words
}

/// The last on which it is good.
fn last_day(end: u64) -> String {
    day_text(end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretLimits;

    #[test]
    fn what_people_read_of_a_secret() {
        let mut limits = SecretLimits::default();
        for (option, value) in [
            ("max-connections", "30"),
            ("max-ips", "1"),
            ("expires", "2027-01-31"),
            ("quota", "50G"),
            ("rate", "2M"),
        ] {
            limits.set(option, value).unwrap();
        }
        let mut row = SecretRow {
            shown: ShownSecret {
                name: "alice".to_owned(),
                limits,
                clients: 2,
                bytes: 25 << 30,
                seen: Some(0),
                end: None,
                is_listed: true,
            },
            addresses: 1,
        };
        let line = |row: &SecretRow| {
            let mut line = String::new();
            row.write_lines(&mut line);
            line
        };
        assert_eq!(
            line(&row),
            "alice            2       1         25G     now        at most 30 clients, at most 1 \
             address, until 2027-01-31, quota 50G (50 % used), 2M a second\n"
        );
        row.shown.limits = SecretLimits::default();
        (row.shown.clients, row.shown.seen, row.addresses) = (0, None, 0);
        row.shown.end = Some(LimitRefusal::Expired);
        assert_eq!(
            line(&row),
            "alice            0       0         25G     -          EXPIRED\n"
        );
        row.shown.is_listed = false;
        assert!(line(&row).ends_with("not in the config any more\n"));
    }
}
