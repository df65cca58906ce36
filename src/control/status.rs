//! `status`: all at a glance.
//!
//! | File | What |
//! |---|---|
//! | `limits.rs` | which limits were reached, and who was turned away |
//! | `json.rs` | for programs |
//! | `lines.rs` | for people |

mod json;
mod limits;
mod lines;

use std::time::Duration;

use super::Control;
use super::dcs::DcRow;
use super::last_reload::Reload;
use super::today::SinceMidnight;
use crate::client::ShownSite;
use crate::config::Role;
use crate::link::ShownLink;
use crate::log::{Recent, recent};
use crate::metrics::resident_bytes;
use limits::Happened;

pub(crate) struct Status {
    role: &'static str,
    /// In unix time.
    now: u64,
    up: Duration,
    /// Not on a back.
    clients: Option<Clients>,
    dcs: Vec<DcRow>,
    /// In split mode.
    links: Option<Vec<ShownLink>>,
    sites: Vec<ShownSite>,
    /// Where there are hosts.
    web: Option<Web>,
    buffers: Buffers,
    /// Of memory, in bytes.
    resident: Option<u64>,
    limits: Vec<Happened>,
    turned_away: Vec<Happened>,
    errors: Vec<Recent>,
    reload: Option<Reload>,
}

struct Clients {
    now: u64,
    most: usize,
    today: SinceMidnight,
    handshaking: u64,
    strangers: u64,
}

struct Web {
    hosts: Vec<String>,
    sessions: u64,
    streams: u64,
}

struct Buffers {
    used: usize,
    total: usize,
    /// Of them with large packets that are not whole.
    claimed: usize,
    waiters: usize,
}

impl Control {
    pub(super) fn status(&self) -> Status {
        let parts = &self.parts;
        let (config, metrics) = ((parts.config)(), &parts.metrics);
        let now = parts.reactor.clock().unix();
        let clients = parts.clients.as_ref().map(|_| Clients {
            now: metrics.clients.get(),
            most: config.clients.max_clients,
            today: self.today.since_midnight(now, metrics),
            handshaking: metrics.handshaking.get(),
            strangers: metrics.fronted_now.get(),
        });
        let mut hosts: Vec<_> = config
            .web
            .hosts
            .iter()
            .map(|host| host.name.to_string())
            .collect();
        hosts.dedup();
        let claims = parts.buffers.claims();
        Status {
            role: match config.process.role {
                Role::Both => "both",
                Role::Front => "front",
                Role::Back => "back",
            },
            now,
            up: parts.reactor.now().saturating_duration_since(self.started),
            clients,
            dcs: self.dc_rows(),
            links: self.link_rows(),
            sites: parts
                .clients
                .as_ref()
                .map_or(Vec::new(), |clients| clients.shown_sites()),
            web: (!hosts.is_empty()).then(|| Web {
                hosts,
                sessions: metrics.web_sessions.get(),
                streams: metrics.web_streams.get(),
            }),
            buffers: Buffers {
                used: parts.buffers.used_bytes(),
                total: parts.buffers.total_bytes(),
                claimed: claims.bytes,
                waiters: claims.waiters,
            },
            resident: resident_bytes(),
            limits: limits::reached(metrics),
            turned_away: limits::turned_away(metrics),
            errors: recent(),
            reload: parts.last_reload.get(),
        }
    }
}
