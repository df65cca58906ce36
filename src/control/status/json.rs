use super::super::list::Row;
use super::{Clients, Status};
use crate::client::ShownSite;
use crate::metrics::Reason;
use crate::wire::calendar::time_text;
use crate::wire::json::Json;

impl Status {
    pub(crate) fn json(&self) -> Json {
        let list = |rows: &mut dyn Iterator<Item = Json>| Json::List(rows.collect());
        let links = self.links.as_ref();
        let links = links.map(|links| list(&mut links.iter().map(Row::json)));
        let web = self.web.as_ref().map(|web| {
            let hosts = web.hosts.iter().map(|host| Json::from(host.as_str()));
            Json::Object(vec![
                ("hosts", Json::List(hosts.collect())),
                ("sessions", Json::from(web.sessions)),
                ("streams", Json::from(web.streams)),
            ])
        });
        let errors = self.errors.iter().map(|error| {
            Json::Object(vec![
                ("level", Json::from(error.level.to_string())),
                ("seconds_ago", Json::from(self.now.saturating_sub(error.at))),
                ("count", Json::from(error.count)),
                ("line", Json::from(error.line.as_str())),
            ])
        });
        let buffers = Json::Object(vec![
            ("used", Json::from(self.buffers.used)),
            ("total", Json::from(self.buffers.total)),
            ("claimed", Json::from(self.buffers.claimed)),
            ("waiters", Json::from(self.buffers.waiters)),
        ]);
        let started = self.now.saturating_sub(self.up.as_secs());
        Json::Object(vec![
            ("version", Json::from(env!("CARGO_PKG_VERSION"))),
            ("role", Json::from(self.role)),
            ("started", Json::from(time_text(started))),
            ("up_seconds", Json::from(self.up.as_secs())),
            (
                "clients",
                Json::from(self.clients.as_ref().map(Clients::json)),
            ),
            ("dcs", list(&mut self.dcs.iter().map(Row::json))),
            ("links", Json::from(links)),
            ("sites", list(&mut self.sites.iter().map(site_json))),
            ("web", Json::from(web)),
            ("buffers", buffers),
            ("resident_bytes", Json::from(self.resident)),
            (
                "limits_reached",
                list(&mut self.limits.iter().map(|one| one.json())),
            ),
            (
                "turned_away",
                list(&mut self.turned_away.iter().map(|one| one.json())),
            ),
            ("errors", list(&mut errors.into_iter())),
            (
                "last_reload",
                Json::from(self.reload.as_ref().map(|one| one.json(self.now))),
            ),
        ])
    }
}

impl Clients {
    fn json(&self) -> Json {
        Json::Object(vec![
            ("now", Json::from(self.now)),
            ("most", Json::from(self.most)),
            ("today", Json::from(self.today.clients)),
            ("bytes_today", Json::from(self.today.bytes)),
            ("handshaking", Json::from(self.handshaking)),
            ("strangers_at_site", Json::from(self.strangers)),
        ])
    }
}

fn site_json(site: &ShownSite) -> Json {
    let (outcome, ago) = site.asked.map_or((None, None), |(outcome, ago)| {
        (Some(outcome.label().to_owned()), Some(ago.as_secs()))
    });
    Json::Object(vec![
        ("domain", Json::from(site.domain.as_str())),
        ("place", Json::from(site.place.clone())),
        ("probe", Json::from(outcome)),
        ("probed_seconds_ago", Json::from(ago)),
        ("answers_like_it", Json::Bool(site.has_model)),
    ])
}
