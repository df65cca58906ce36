//! By a Worker of the operator's at Cloudflare: a tunnel of bytes to the DC's address.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::web::Miss;
use super::{RouteError, Routes};
use crate::config::RouteName;
use crate::connection::{FreshWebSocket, WebRequest};
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// How its script says that it does not connect to this address, and that it could not.
const NOT_THERE: u16 = 400;
const NOT_REACHED: u16 = 502;
/// And that the key is another one.
const FORBIDDEN: u16 = 403;

/// It serves this DC, if that has an address for it.
pub(super) fn server(routes: &Routes, dc: DcId) -> Option<DcId> {
    targets(routes, dc).next().map(|_| dc)
}

/// The DC's addresses; a Worker leads to those of IPv4.
fn targets(routes: &Routes, dc: DcId) -> impl Iterator<Item = Ipv4Addr> {
    let all = routes.shared.directory.direct(dc).unwrap_or_default();
    all.into_iter().filter_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}

/// A tunnel to one of the DC's addresses.
pub(super) async fn reach(
    routes: &Routes,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    let shared = &*routes.shared;
    let worker = shared.config.with(|config| config.worker.clone());
    let worker = worker.ok_or(RouteError::UnknownDc)?;
    let trust = routes.web.trust(routes, RouteName::Worker, dc)?;
    let place = routes.web.place(&worker.place());
    let mut why = RouteError::UnknownDc;
    for to in targets(routes, dc) {
        let path = worker.path(to, dc);
        let wanted = WebRequest {
            host: worker.host(),
            front: None,
            path: &path,
            protocol: None,
        };
        let connecting = async {
            let socket = shared.dialer.dial_place(&place).await;
            routes.web.connect(&trust, socket, wanted).await
        };
        let left = deadline.saturating_duration_since(routes.now());
        let miss = match shared.reactor.timeout(left, connecting).await {
            Some(Ok(fresh)) => {
                let host = worker.host();
                shared.led(dc, || format!("{host}, {},", fresh.tls_version()));
                return Ok(fresh);
            }
            Some(Err(miss)) => miss,
            None if why == RouteError::UnknownDc => {
                return Err(RouteError::Failed(RouteResult::CutShort));
            }
            None => return Err(why),
        };
        shared.metrics.dc_failed(dc, miss.failure());
        let (host, advice) = (worker.host(), advice(&miss, worker.has_key()));
        let at = || miss.at(host.to_owned()) + advice;
        if !shared.hears(dc, miss.result(), at) {
            shared.complain(dc, format_args!("worker {host} to {to}: {miss}{advice}"));
        }
        why = match (miss.result(), miss.status()) {
            (result, Some(NOT_THERE | NOT_REACHED)) => RouteError::Failed(result),
            // It says nothing of the Worker.
            (result @ RouteResult::ProxyIll, _) => return Err(RouteError::Failed(result)),
            (result, _) => return Err(RouteError::FailedForAll(result)),
        };
    }
    Err(why)
}

fn advice(miss: &Miss, has_key: bool) -> &'static str {
    match (miss.result(), miss.status()) {
        (_, Some(NOT_THERE)) => {
            "; its script takes only Telegram's addresses (see the lists in it, and --dc)"
        }
        (_, Some(NOT_REACHED)) => "; it does not reach that address",
        (_, Some(FORBIDDEN)) if has_key => {
            "; the key in --cloudflare-worker is not the one that is set as its secret KEY"
        }
        (_, Some(FORBIDDEN)) => "; it wants its key: --cloudflare-worker HOST,key=KEY",
        (_, Some(404 | 426)) | (RouteResult::NotServed, _) => {
            "; see that this name is the Worker's, with its script (doc/cloudflare.md)"
        }
        (_, Some(429 | 503)) => "; Cloudflare's limit for today may be reached",
        (_, Some(_)) => "; its log at Cloudflare says more",
        (RouteResult::Filtered, _) => {
            "; a domain of your own before the Worker helps where workers.dev is filtered \
             (doc/cloudflare.md)"
        }
        (RouteResult::Intercepted, _) => "; another route, or a back elsewhere, helps",
        _ => "",
    }
}
