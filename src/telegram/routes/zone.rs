//! By a zone of the operator's at Cloudflare, which leads to the DCs' own WebSockets.

use std::time::Instant;

use super::web::Miss;
use super::{RouteError, Routes};
use crate::config::RouteName;
use crate::connection::{FreshWebSocket, WebRequest};
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// Whose name serves this DC, if it is one.
pub(super) fn server(routes: &Routes, dc: DcId) -> Option<DcId> {
    routes.shared.directory.direct(dc)?;
    // Media servers are at the same name.
    Some(DcId(dc.0.saturating_abs()))
}

/// A WebSocket at the DC's name.
pub(super) async fn reach(
    routes: &Routes,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    let shared = &*routes.shared;
    let zone = shared.config.with(|config| config.zone.clone());
    let zone = zone.ok_or(RouteError::UnknownDc)?;
    let trust = routes.web.trust(routes, RouteName::Zone, dc)?;
    let host = zone.host(dc.number());
    let place = routes.web.place(&zone.place(dc.number()));
    let wanted = WebRequest {
        host: &host,
        front: None,
        path: match dc.is_test() {
            true => "/apiws_test",
            false => "/apiws",
        },
        protocol: Some("binary"),
    };
    let connecting = async {
        let socket = shared.dialer.dial_place(&place).await;
        routes.web.connect(&trust, socket, wanted).await
    };
    let left = deadline.saturating_duration_since(routes.now());
    let miss = match shared.reactor.timeout(left, connecting).await {
        Some(Ok(fresh)) => {
            shared.led(dc, || format!("{host}, {},", fresh.tls_version()));
            return Ok(fresh);
        }
        Some(Err(miss)) => miss,
        None => return Err(RouteError::Failed(RouteResult::CutShort)),
    };
    shared.metrics.dc_failed(dc, miss.failure());
    let (result, advice) = (miss.result(), advice(&miss));
    if !shared.hears(dc, result, || miss.at(host.clone()) + advice) {
        shared.complain(dc, format_args!("zone {host}: {miss}{advice}"));
    }
    let is_of_all = match miss.status() {
        Some(429 | 503) => true,
        // Its record may be wrong, or Cloudflare may not reach Telegram.
        Some(500..) => !routes.serves_others(dc, RouteName::Zone),
        _ => false,
    };
    Err(match is_of_all {
        true => RouteError::FailedForAll(result),
        false => RouteError::Failed(result),
    })
}

fn advice(miss: &Miss) -> &'static str {
    match (miss.result(), miss.status()) {
        (_, Some(429 | 503)) => "; Cloudflare limits it, a zone of your own has room",
        (_, Some(500..)) => {
            "; Cloudflare gets nothing from the DC: see the record's address, and that the zone's \
             SSL mode is Flexible (doc/cloudflare.md)"
        }
        (_, Some(_)) | (RouteResult::NotServed, _) => {
            "; see that the record is proxied and that no rule of the zone stands before it \
             (doc/cloudflare.md)"
        }
        (RouteResult::Filtered, _) => "; another name or domain in --cloudflare-zone helps",
        (RouteResult::Intercepted, _) => "; another route, or a back elsewhere, helps",
        (RouteResult::Useless, _) => {
            "; see that there is a record of this name (doc/cloudflare.md)"
        }
        _ => "",
    }
}
