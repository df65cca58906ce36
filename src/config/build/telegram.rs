use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use super::super::cloudflare::{CloudflareWorker, CloudflareZone};
use super::super::doors::DoorConfig;
use super::super::flags::Flags;
use super::super::routes::{RouteChoice, RouteList, RouteName};
use super::super::values::{Role, Source, seconds};
use super::super::via::Via;
#[cfg(feature = "tls")]
use super::super::{upstream::NextProxy, ws::WsConfig};
use crate::wire::dc::DcId;

/// Where Telegram is, and how many connections there are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TelegramConfig {
    /// Of the list of middle proxies' secret; `None`: Telegram's own.
    pub(crate) secret: Option<Source>,
    /// Of the list of middle proxies.
    pub(crate) config: Option<Source>,
    /// Of that of those with IPv6.
    pub(crate) config_v6: Option<Source>,
    pub(crate) refresh: Duration,
    /// Somebody may go through middle proxies.
    pub(crate) uses_middle: bool,
    /// By which direct sessions reach their DCs.
    pub(crate) routes: RouteList,
    /// In the order given; several a DC are tried in turn.
    pub(crate) dc_overrides: Vec<(DcId, SocketAddr)>,
    #[cfg(feature = "tls")]
    pub(crate) ws: WsConfig,
    /// There is one if it is one of the routes.
    #[cfg(feature = "tls")]
    pub(crate) upstream: Option<Arc<NextProxy>>,
    #[cfg(feature = "tls")]
    pub(crate) zone: Option<CloudflareZone>,
    #[cfg(feature = "tls")]
    pub(crate) worker: Option<CloudflareWorker>,
    /// What every connection to Telegram goes through; there are no middle proxies then.
    pub(crate) via: Option<Arc<Via>>,
    pub(crate) pools: PoolConfig,
}

/// What the pools of connections to middle proxies go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolConfig {
    /// Connections per DC that stay open without clients.
    pub(crate) dc_connections: usize,
    /// Sessions on one connection before another one is opened.
    pub(crate) clients_per_connection: usize,
}

/// Cloudflare counts requests, and a connection is one.
const MAX_SPARE_AT_CLOUDFLARE: usize = 1;

/// Connections that are kept ready for each DC, if its route is ws.
fn spares_each(flags: &Flags) -> usize {
    flags.ws_spare.map_or(1, |n| n.0 as usize)
}

/// Those that are kept ready for each DC on this route, where `--ws-spare` is so much.
pub(crate) fn spare_of(route: RouteName, spare: usize) -> usize {
    match route {
        RouteName::Ws => spare,
        RouteName::Zone | RouteName::Worker => spare.min(MAX_SPARE_AT_CLOUDFLARE),
        RouteName::Direct | RouteName::Upstream => 0,
    }
}

/// Connections that are kept ready for each DC, on all its routes.
pub(super) fn spare(flags: &Flags, doors: &DoorConfig) -> usize {
    let list = doors.route.list();
    let spare = |route: &RouteName| spare_of(*route, spares_each(flags));
    list.as_slice().iter().map(spare).sum()
}

pub(super) fn build(flags: &Flags, doors: &DoorConfig) -> TelegramConfig {
    let has_via = flags.via.is_some();
    let uses_middle = flags.role == Some(Role::Back) && !has_via
        || match doors.route {
            RouteChoice::Middle => true,
            RouteChoice::Own(_) => false,
            RouteChoice::Auto => doors.has_tag(),
        };
    TelegramConfig {
        secret: flags.telegram_secret.clone(),
        config: flags.telegram_config.clone(),
        config_v6: flags.telegram_config_v6.clone(),
        refresh: seconds(flags.refresh, 3600),
        uses_middle,
        routes: doors.route.list(),
        dc_overrides: flags.dc.iter().map(|dc| (dc.0, dc.1)).collect(),
        #[cfg(feature = "tls")]
        ws: WsConfig {
            addresses: flags.ws.iter().map(|ws| (ws.0, ws.1)).collect(),
            sni: flags.ws_sni.clone(),
            spare: spares_each(flags),
            ca: flags.ws_ca.clone(),
        },
        #[cfg(feature = "tls")]
        upstream: flags.upstream.clone().map(Arc::new),
        #[cfg(feature = "tls")]
        zone: flags.cloudflare_zone.clone(),
        #[cfg(feature = "tls")]
        worker: flags.cloudflare_worker.clone(),
        via: flags.via.clone().map(Arc::new),
        pools: PoolConfig {
            dc_connections: match flags.dc_connections {
                Some(n) if !has_via => n.0 as usize,
                _ => 0,
            },
            clients_per_connection: flags.clients_per_connection.map_or(300, |n| n.0 as usize),
        },
    }
}
